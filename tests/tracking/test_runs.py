"""Records become runs: applied twice they are as once, in whatever order workers go on, and what cannot be applied is told."""

import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import TrackingError
from dfkd_tune.tracking.outbox import Record
from dfkd_tune.tracking.runs import RejectedRecord, Runs

STUDY = Record("study", at=1, params={"seed": "0"}, tags={"dfkd.kind": "study", "dfkd.teacher_sha256": "1" * 64})


def opened(run: str, name: str, at: int, again: bool = False) -> Record:
    return Record("open", run, name, at, params={"trial": "0"}, tags={"dfkd.kind": "trial"}, again=again)


def closed(run: str, name: str, at: int, rmse: float) -> Record:
    told = {"tags": {"dfkd.state": "COMPLETE"}, "metrics": {"rmse": rmse}, "curve": ((1, 0.5), (2, float("nan")))}
    return Record("close", run, name, at, "FINISHED", **told)


def nothing(digest: str) -> bytes:
    raise AssertionError(f"no file was recorded, {digest} was asked for")


@pytest.fixture
def runs(store, request) -> Runs:
    """The runs of an experiment of its own."""
    return Runs(store.tracking, request.node.originalname.removeprefix("test_"))


def seen(store, runs: Runs) -> list[dict]:
    return [
        {"name": run.info.run_name, "status": run.info.status, "end": run.info.end_time}
        | {"params": run.data.params, "metrics": run.data.metrics, "tags": dict(run.data.tags)}
        for run in store.runs(runs.experiment)
    ]


def test_a_record_applied_twice_is_one_applied_once(store, runs):
    told = [
        STUDY,
        opened("a" * 32, "trial-0000", 2),
        closed("a" * 32, "trial-0000", 3, 0.5),
        Record("end", at=4, status="FINISHED"),
    ]
    for record in told:
        runs.apply(record, nothing, own=True)
    before = seen(store, runs)
    trial = next(each for each in before if each["name"] == "trial-0000")
    assert (trial["status"], trial["end"], trial["metrics"]) == ("FINISHED", 3, {"rmse": 0.5, "curve/rmse": 0.5})
    assert [each["status"] for each in before] == ["FINISHED"] * 2 and len(before) == 2
    after = Runs(store.tracking, runs.experiment)
    for record in told:
        after.apply(record, nothing, own=False)
    assert seen(store, runs) == before and after.writes == 0


def test_an_end_that_comes_from_another_worker_takes_nothing_back(store, runs):
    runs.apply(STUDY, nothing, own=True)
    runs.apply(opened("a" * 32, "trial-0000", 2), nothing, own=True)
    runs.apply(opened("b" * 32, "trial-0000", 3, again=True), nothing, own=True)
    runs.apply(closed("b" * 32, "trial-0000", 4, 0.25), nothing, own=True)
    runs.apply(closed("a" * 32, "trial-0000", 5, 0.5), nothing, own=True)  # it was slow, and not dead
    first, second = sorted(store.runs(runs.experiment, "trial"), key=lambda run: run.info.start_time)
    assert (first.info.status, first.data.tags["dfkd.state"]) == ("KILLED", "INTERRUPTED")
    assert first.data.tags["dfkd.taken_over"] == "true"
    assert second.data.tags["dfkd.requeued_from"] == first.info.run_id
    assert (second.info.status, second.data.metrics["rmse"]) == ("FINISHED", 0.25)


def test_a_run_created_twice_is_one_again(store, runs):
    """The answer to its creation was lost, and it was created again."""
    runs.apply(STUDY, nothing, own=True)
    runs.apply(opened("a" * 32, "trial-0000", 2), nothing, own=True)
    client = MlflowClient(store.tracking)
    experiment = client.get_experiment_by_name(runs.experiment).experiment_id
    client.create_run(experiment, 3, {"dfkd.record": "a" * 32, "dfkd.kind": "trial"}, "trial-0000")
    Runs(store.tracking, runs.experiment).apply(closed("a" * 32, "trial-0000", 4, 0.5), nothing, own=False)
    (run,) = store.runs(runs.experiment, "trial")
    assert run.data.params == {"trial": "0"} and run.data.metrics["rmse"] == 0.5


def test_what_mlflow_cannot_take_is_told(store, runs):
    runs.apply(STUDY, nothing, own=True)
    with pytest.raises(RejectedRecord, match="run trial-0000 is not in MLflow"):
        runs.apply(closed("c" * 32, "trial-0000", 4, 0.5), nothing, own=False)
    with pytest.raises(RejectedRecord) as refusal:
        runs.apply(Record("open", "d" * 32, "trial-0001", 2, params={"what?": "1"}), nothing, own=True)
    assert len(str(refusal.value).splitlines()) == 1


def test_an_experiment_of_another_study_is_refused(store, runs):
    runs.refuse_foreign({})  # nothing is made
    assert MlflowClient(store.tracking).get_experiment_by_name(runs.experiment) is None
    runs.apply(STUDY, nothing, own=True)
    runs.refuse_foreign({"dfkd.teacher_sha256": "1" * 64, "dfkd.features_sha256": "any, as none is recorded"})
    with pytest.raises(TrackingError, match="by another storage and with another teacher; take another name"):
        runs.refuse_foreign({"dfkd.teacher_sha256": "2" * 64})
