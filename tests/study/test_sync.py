"""``sync`` adds what a finished study lacks in MLflow, once."""

import pytest
from mlflow import MlflowClient

from dfkd_tune.registry.logged_models import log_leaders
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync

pytestmark = pytest.mark.usefixtures("undrawn")


def test_models_that_are_missing_are_logged_once_by_sync(store, tiny, monkeypatch):
    prepared = tiny("unlogged", trials=2, leaders=2)
    with monkeypatch.context() as patch:
        patch.setattr("dfkd_tune.registry.model_files.save", lambda *given: (_ for _ in ()).throw(OSError("disk full")))
        run_study(prepared, store.storage, store.tracking)
    left = MlflowClient(store.tracking)
    experiment = left.get_experiment_by_name("unlogged").experiment_id
    assert {model.status for model in left.search_logged_models([experiment])} == {"PENDING"}
    monkeypatch.setattr("dfkd_tune.registry.logged_models.ABANDONED_S", -1)
    done = sync(store.storage, store.tracking, "unlogged")
    assert done.models == 2
    assert {model.status for model in left.search_logged_models([experiment])} == {"READY"}
    assert sync(store.storage, store.tracking, "unlogged").models == 0
    names = [run.info.run_name for run in store.runs("unlogged") if run.outputs.model_outputs]
    assert len(names) == 2
    assert log_leaders(store.tracking, "unlogged", names) == ()
