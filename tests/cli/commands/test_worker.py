"""``worker``: it joins a study that is there, and finishes what is left."""

import pytest
from optuna.trial import TrialState

from dfkd_tune.errors import Interrupted
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def begun(store, tiny):
    """A study of five trials that was stopped after its first ones; returns its name."""
    stop = []

    def watch(progress) -> None:
        if progress.done + progress.pruned and progress.running == 2:
            stop.append(True)

    with pytest.raises(Interrupted):
        run_study(tiny("begun", trials=5), store.storage, store.tracking, watch, lambda: bool(stop))
    return "begun"


def test_a_worker_finishes_what_is_left(store, begun, dfkd, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ended = dfkd("worker", begun, "--storage", store.storage)
    assert ended.status == 0, ended.err
    assert "all 5 trials are done" in ended.out
    trials = store.trials(begun)
    assert [trial.number for trial in trials] == list(range(5))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    runs = store.runs(begun)  # where the study was recorded, as nothing else was said
    assert not [run for run in runs if run.info.status == "RUNNING"]
    stopped = {run.info.run_id: run for run in runs if run.data.tags.get("dfkd.state") == "INTERRUPTED"}
    links = [run.data.tags["dfkd.requeued_from"] for run in runs if "dfkd.requeued_from" in run.data.tags]
    assert stopped and set(links) == stopped.keys()
    assert all(run.info.status == "KILLED" for run in stopped.values())
    again = dfkd("worker", begun, "--storage", store.storage)
    assert again.status == 0
    assert [run.info.run_id for run in store.runs(begun)] == [run.info.run_id for run in runs]


def test_a_worker_needs_a_study(store, finished, dfkd):
    ended = dfkd("worker", "nowhere", "--storage", store.storage)
    assert (ended.status, ended.out) == (1, "")
    assert "study 'nowhere': does not exist here; known: " in ended.err
