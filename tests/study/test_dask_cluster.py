"""A cluster that cannot run a study is told before any worker starts."""

import pytest
from asked import assert_refused

from dfkd_tune.errors import WorkersError
from dfkd_tune.study.dask_cluster import run_on_cluster

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_cluster_that_is_not_there_is_told(store, tiny, monkeypatch):
    monkeypatch.setattr("dfkd_tune.study.dask_cluster.SCHEDULER_TIMEOUT", "1s")
    with pytest.raises(WorkersError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers .*; start it"):
        run_on_cluster(tiny("placed"), store.storage, store.tracking, "tcp://127.0.0.1:9")


def test_a_missing_package_is_told_before_a_study_is_read(dfkd, monkeypatch):
    monkeypatch.setattr("dfkd_tune.study.dask_cluster.find_spec", lambda name: None)
    ended = dfkd("study", "none.yaml", "--cluster", "local")
    assert_refused(ended, "--cluster: Dask is not installed; pip install 'dfkd-tune[dask]'")
