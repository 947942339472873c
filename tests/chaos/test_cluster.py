"""Workers that Dask places: on a real scheduler with real processes, one of which is killed, and on other machines."""

import os
import signal
import socket
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest
import yaml
from aftermath import assert_whole
from optuna.trial import TrialState

from dfkd_tune.errors import Interrupted, StorageError, TrackingError
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.dask_cluster import run_on_cluster

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module", autouse=True)
def quickly() -> Iterator[None]:
    """Workers start with the imports done, of which Dask would name others if no fork server ran yet."""
    forkserver.ensure_running()
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    """A real scheduler with one process."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as made:
        yield made


LONG = {"steps": 1_500}
"""So long that the second worker arrives before the first has trained all."""


def workers_of(storage: str, name: str) -> set[str]:
    """Processes that ended trials."""
    trials = load_study(storage, name).get_trials(deepcopy=False)
    return {trial.user_attrs["worker"].split("/")[1] for trial in trials}


def test_the_command_line_runs_a_study_on_dask(tmp_path, postgresql, tree, dfkd, store):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("on-dask", trials=8, population=1, reruns=1, budget=LONG)))
    url = postgresql.replace("postgres@", "postgres:hunter2@")
    options = ["--cluster", "local", "--workers", "2", "--storage", url, "--tracking-uri", store.tracking]
    ended = dfkd("study", "study.yaml", *options)
    assert ended.status == 0, ended.err
    assert "hunter2" not in ended.out + ended.err
    assert_whole(postgresql, store.tracking, "on-dask", 8)
    assert len(workers_of(postgresql, "on-dask")) == 2


def test_a_study_on_dask_stops_when_told_and_goes_on(tiny, store, cluster):
    prepared, done = tiny("dask-stop", trials=4, budget={"steps": 2_000}), []
    where = (prepared, store.storage, store.tracking, cluster.scheduler_address)
    with pytest.raises(Interrupted):
        run_on_cluster(*where, on_progress=lambda p: done.append(p.done), should_stop=lambda: bool(done))
    left = [trial.state for trial in store.trials("dask-stop") if not trial.state.is_finished()]
    assert left and set(left) == {TrialState.WAITING}
    run_on_cluster(*where)
    assert_whole(store.storage, store.tracking, "dask-stop", 4)


@pytest.mark.slow
def test_a_worker_of_dask_is_killed(tiny, store):
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killed: list[int] = []

        def watch(progress) -> None:
            if progress.done >= 4 and progress.running and not killed:
                killed.append(cluster.workers[0].process.pid)
                os.kill(killed[0], signal.SIGKILL)

        prepared = tiny("dask-death", trials=16, reruns=1)
        run_on_cluster(prepared, store.storage, store.tracking, cluster.scheduler_address, on_progress=watch)
    assert killed
    counts = assert_whole(store.storage, store.tracking, "dask-death", 16)
    assert counts["requeued"] and not counts["failed"]


def test_files_of_one_machine_are_refused_to_a_cluster_of_others(tiny, store, cluster, monkeypatch):
    """Only what this process takes for its own machine's name differs; the cluster is real."""
    here = socket.gethostname()
    monkeypatch.setattr("dfkd_tune.study.dask_cluster.socket.gethostname", lambda: "elsewhere")
    where = (cluster.scheduler_address,)
    with pytest.raises(StorageError, match=rf"optuna\.db: cannot be shared with the cluster's workers on {here}: "):
        run_on_cluster(tiny("apart"), store.storage, "http://127.0.0.1:9", *where)
    with pytest.raises(TrackingError, match=rf"mlflow\.db: cannot be shared with the cluster's workers on {here}"):
        run_on_cluster(tiny("apart"), "postgresql://127.0.0.1:9/x", store.tracking, *where)
