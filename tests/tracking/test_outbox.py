"""Records on disk: what is damaged is set aside and told, and holds up nothing else."""

import json

import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import StorageError
from dfkd_tune.study.sync import sync
from dfkd_tune.tracking.outbox import REFUSED, SHIPPED, Damaged, Outbox, Record, read
from dfkd_tune.tracking.tags import REQUEUED_FROM
from dfkd_tune.tracking.tracker import Tracker

STUDY = "spooled"
DAMAGES = {
    "cut short": '{"event": "op',
    "of another shape": "[]",
    "with a field of its own": '{"event": "open", "code": 1}',
    "about something else": '{"event": "apply"}',
    "with files outside": '{"event": "close", "files": {"student/../../x": "%s"}}' % ("0" * 64),
    "with a file of any place": '{"event": "close", "files": {"/etc/passwd": "%s"}}' % ("0" * 64),
    "with files that are none": '{"event": "close", "files": ["student/a"]}',
    "with a name that asks": """{"event": "open", "name": "x' or attributes.status = 'FINISHED"}""",
    "with a time that is none": '{"event": "close", "at": "yesterday"}',
    "with a metric that is none": '{"event": "close", "metrics": {"rmse": {}}}',
    "with a curve that is none": '{"event": "close", "curve": [[1]]}',
    "not text": "\x00\xff",
}


@pytest.fixture
def spool(tmp_path):
    return Outbox(tmp_path / "spool" / STUDY, f"sqlite:///{tmp_path}/optuna.db")


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_told_by_its_file(spool, text):
    file = spool.begin().folder / "00000001.json"
    file.write_text(text)
    with pytest.raises(Damaged, match=r"00000001\.json: is no record"):
        read(file)


def test_records_come_back_as_they_were(spool):
    session = spool.begin()
    made = Record("close", "a" * 32, "trial-0000", 5, "FINISHED", {"p": "1"}, {"t": "2"}, {"rmse": 0.5})
    file = session.append(made, {"student/a.bin": b"abc"})
    found = read(file)
    assert spool.content(found.files["student/a.bin"]) == b"abc"
    assert {**vars(found), "files": {}, "curve": ()} == {**vars(made), "files": {}, "curve": ()}
    (spool.folder / "objects" / found.files["student/a.bin"]).write_bytes(b"abd")
    with pytest.raises(Exception, match="truncated or altered"):
        spool.content(found.files["student/a.bin"])


def test_files_stay_inside_a_runs_artifacts(spool):
    session = spool.begin()
    for path in ("../a", "/a", "student/../../a", "", "student//a"):
        with pytest.raises(StorageError, match="no path inside"):
            session.append(Record("close"), {path: b""})


@pytest.mark.parametrize("by", ["the next session", "sync"])
def test_a_damaged_record_holds_up_nothing_else(store, by, tmp_path):
    storage, name = f"sqlite:///{tmp_path}/optuna.db", f"{STUDY}-{by[-4:]}"
    gone = Tracker(store.tracking, name, storage)
    gone.open_study({"seed": 0}, {})
    gone.open_run("trial-0000", "trial", {"trial": 0})
    assert gone.settle()
    folder = gone._segment.folder
    gone._uploader.stop()
    lost = json.loads((folder / SHIPPED / "00000002.json").read_text()) | {"event": "close", "status": "FINISHED"}
    (folder / "00000003.json").write_text('{"event": "op')
    (folder / "00000004.json").write_text(json.dumps(lost | {"metrics": {"rmse": 0.25}}))
    gone._segment.release()
    if by == "sync":
        (refused,) = sync(storage, store.tracking, name).refused
    else:
        after = Tracker(store.tracking, name, storage)
        assert not after.settle()
        (refused,) = after._uploader.refused
        after.close()
    assert "00000003.json" in refused
    assert (folder / REFUSED / "00000003.json").exists() and (folder / SHIPPED / "00000004.json").exists()
    (run,) = store.runs(name, "trial")
    assert run.info.status == "FINISHED" and run.data.metrics["rmse"] == 0.25


@pytest.mark.parametrize("by", ["the next session", "sync"])
def test_a_run_that_is_shipped_late_is_linked_too(store, by, tmp_path):
    """A worker died before MLflow knew of its run; the one that went on with the trial could not see it."""
    storage, name = f"sqlite:///{tmp_path}/optuna.db", f"late-{by[-4:]}"
    gone = Tracker(store.tracking, name, storage)
    gone.open_study({"seed": 0}, {})
    assert gone.settle()
    gone._uploader.stop()
    gone.open_run("trial-0000", "trial", {"trial": 0})
    # Its lock is still held while another goes on.
    after = Tracker(store.tracking, name, storage)
    after.open_run("trial-0000", "trial", {"trial": 0}, again=True)
    after.close_run("trial-0000", "FINISHED", {"rmse": 0.5}, {"dfkd.state": "COMPLETE"})
    assert after.flush()
    (run,) = store.runs(name, "trial")
    assert REQUEUED_FROM not in run.data.tags
    gone._segment.release()
    if by == "sync":
        after.close()
        assert not sync(storage, store.tracking, name).refused
    else:
        assert after.settle()
        after.close()
    first, second = sorted(store.runs(name, "trial"), key=lambda run: run.info.start_time)
    assert second.data.tags[REQUEUED_FROM] == first.info.run_id and REQUEUED_FROM not in first.data.tags
    assert (first.info.status, first.data.tags["dfkd.state"]) == ("KILLED", "INTERRUPTED")
    assert (second.info.status, second.data.metrics["rmse"]) == ("FINISHED", 0.5)
    sync(storage, store.tracking, name)  # the study's own run was left open
    assert sync(storage, store.tracking, name).written == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_ends_while_another_worker_sweeps_keeps_its_end(store, when, tmp_path, monkeypatch):
    """Its own worker is told of it just before, or just after, the sweep ends what it found RUNNING."""
    storage, name = f"sqlite:///{tmp_path}/optuna.db", f"swept-{when}"
    worker, sweeper = (Tracker(store.tracking, name, storage) for _ in range(2))
    worker.open_study({"seed": 0}, {})
    worker.open_run("trial-0000", "trial", {"trial": 0})
    assert worker.flush()
    end = MlflowClient.set_terminated

    def swept(client, run_id, status, at):
        monkeypatch.setattr(MlflowClient, "set_terminated", end)
        if when == "after":
            end(client, run_id, status, at)
        worker.close_run("trial-0000", "FINISHED", {"rmse": 0.5}, {"dfkd.state": "COMPLETE"})
        assert worker.flush()
        if when == "before":
            end(client, run_id, status, at)

    monkeypatch.setattr(MlflowClient, "set_terminated", swept)
    sweeper.close_all_running()
    assert sweeper.flush()
    assert not sweeper.unshipped() and not worker.unshipped()
    (run,) = store.runs(name, "trial")
    assert (run.info.status, run.data.tags["dfkd.state"], run.data.metrics["rmse"]) == ("FINISHED", "COMPLETE", 0.5)
    for tracker in (worker, sweeper):
        tracker.close()
