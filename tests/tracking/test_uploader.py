"""What is told MLflow together, and what becomes of it where MLflow fails in the midst."""

import time

import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import TrackingError
from dfkd_tune.tracking import uploader
from dfkd_tune.tracking.tracker import Tracker

CALLS = ("create_run", "log_batch", "set_terminated")
PARAMS, METRICS, TAGS = {"trial": 0}, {"rmse": 0.5}, {"dfkd.state": "COMPLETE"}
CURVE, FILES = [(10, 0.9), (20, 0.5)], {"student/sha256.json": b"{}"}


@pytest.fixture
def tracker(store, request, tmp_path):
    found = Tracker(store.tracking, request.node.name, f"sqlite:///{tmp_path}/optuna.db")
    found.open_study({"seed": 0}, {})
    assert found.flush()
    yield found
    found.close()


def whole(tracker, store):
    """The only run of a tracker, which has all that was said of it."""
    (run,) = store.runs(tracker.experiment, "trial")
    assert run.info.status == "FINISHED" and run.data.params == {"trial": "0"}
    assert run.data.metrics == {"rmse": 0.5, "curve/rmse": 0.5} and run.data.tags["dfkd.state"] == "COMPLETE"
    client = MlflowClient(store.tracking)
    assert [m.step for m in client.get_metric_history(run.info.run_id, "curve/rmse")] == [10, 20]
    assert [f.path for f in client.list_artifacts(run.info.run_id, "student")] == ["student/sha256.json"]
    return run


def short_run(tracker):
    tracker.open_run("trial-0000", "trial", PARAMS)
    tracker.close_run("trial-0000", "FINISHED", METRICS, TAGS, CURVE, FILES)


def test_a_short_run_is_told_in_three_requests(tracker, store, monkeypatch):
    asked = []
    for name in (*CALLS, "get_run", "search_runs", "set_tag"):
        call = getattr(MlflowClient, name)
        monkeypatch.setattr(
            MlflowClient, name, lambda *a, call=call, name=name, **k: (asked.append(name), call(*a, **k))[1]
        )
    short_run(tracker)
    assert tracker.flush()
    assert asked == list(CALLS)
    whole(tracker, store)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CALLS)
def test_a_request_that_fails_leaves_one_whole_run(name, when, tracker, store, monkeypatch):
    """Whether MLflow did what was asked, and its answer was lost, or did not."""
    call, failed = getattr(MlflowClient, name), []

    def once(*args, **named):
        if failed:
            return call(*args, **named)
        failed.append(name)
        if when == "after":
            call(*args, **named)
        raise ConnectionError("gone")

    monkeypatch.setattr(MlflowClient, name, once)
    short_run(tracker)
    assert tracker.flush() and failed
    whole(tracker, store)


def test_a_long_run_is_seen_while_it_goes_on(tracker, store, monkeypatch):
    monkeypatch.setattr(uploader, "LAG", 1.5)
    tracker.open_run("trial-0000", "trial", PARAMS)
    assert not store.runs(tracker.experiment, "trial")
    until = time.monotonic() + 30
    while not (found := store.runs(tracker.experiment, "trial")) and time.monotonic() < until:
        time.sleep(0.05)
    assert [run.info.status for run in found] == ["RUNNING"]
    tracker.close_run("trial-0000", "FINISHED", METRICS, TAGS, CURVE, FILES)
    assert tracker.flush()
    assert whole(tracker, store).info.run_id == found[0].info.run_id


def test_a_flush_asks_a_server_that_is_away_a_few_times_a_second(tracker, monkeypatch):
    asked = []

    def away(*given, **named):
        asked.append(time.monotonic())
        raise TrackingError("there", "gone")

    monkeypatch.setattr(uploader, "preflight", away)
    monkeypatch.setattr(MlflowClient, "create_run", away)
    short_run(tracker)
    assert not tracker._uploader.flush(patience=1.0)
    assert 2 < len(asked) < 20
