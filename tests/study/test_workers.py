"""Workers that join a study: what they find on their machine, what they refuse, and a database that goes away."""

import shutil
import socket
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from optuna.trial import TrialState
from safetensors.torch import save_file
from sqlalchemy import text
from torch import nn

from dfkd_tune.errors import Interrupted, NotFound, StorageError, StudyMismatch, TrackingError, WorkersError
from dfkd_tune.registry.sources import Sources
from dfkd_tune.search.attributes import HOST, TRACKING
from dfkd_tune.search.loaded import live_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study import workers
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_worker_waits_for_a_study_that_is_not_there_yet(store, tiny, monkeypatch):
    monkeypatch.setattr(workers, "ARRIVAL_POLL_S", 0.01)
    opened = []

    def meanwhile() -> bool:
        if not opened:
            opened.append(open_queue(tiny("awaited", trials=2), store.storage, store.tracking))
        return False

    result = workers.join("awaited", store.storage, store.tracking, should_stop=meanwhile, patience=600)
    assert opened and result.progress.done + result.progress.pruned == 2


def test_a_worker_that_waits_can_be_stopped_and_gives_up(store, finished, dfkd, monkeypatch):
    with pytest.raises(Interrupted):
        workers.join("nowhere", store.storage, should_stop=lambda: True, patience=600)
    ended = dfkd("worker", "nowhere", "--storage", store.storage, "--wait", "0.1")
    assert (ended.status, ended.out) == (1, "")
    assert "study 'nowhere': does not exist here; known: " in ended.err


@pytest.fixture
def moved(tmp_path, store, tree, tiny, small_teacher):
    """A study whose teacher is no longer where it was; returns the copies by option."""
    for path in small_teacher.values():
        shutil.copy(path, tmp_path / f"copy-{Path(path).name}")
    there = tmp_path / "there"
    there.mkdir()
    given = {}
    for name, path in small_teacher.items():
        given[name] = str(shutil.copy(path, there))
    (there / "features.yaml").write_text("features: [a, b, c]\n")
    prepared = tiny("moved", teacher=given, features=str(there / "features.yaml"))
    open_queue(prepared, store.storage, store.tracking)
    shutil.copy(there / "features.yaml", tmp_path / "copy-features.yaml")
    return there, {
        "teacher": str(tmp_path / "copy-teacher.safetensors"),
        "architecture": str(tmp_path / "copy-teacher.yaml"),
        "features": str(tmp_path / "copy-features.yaml"),
    }


def test_a_worker_says_what_is_missing_and_where_it_may_be(store, moved):
    there, copies = moved
    workers.load_recorded_study("moved", store.storage, Sources())
    shutil.rmtree(there)
    given: dict[str, str] = {}
    for option, copy in copies.items():
        with pytest.raises(NotFound) as refusal:
            workers.load_recorded_study("moved", store.storage, Sources(**given))
        assert f"its {option} {there}" in str(refusal.value)
        assert f"is not on {socket.gethostname()}; give --{option} PATH" in str(refusal.value)
        given[option] = copy
    prepared, _ = workers.load_recorded_study("moved", store.storage, Sources(**given))
    assert prepared.spec.study.trials == 4


@pytest.mark.usefixtures("moved")
def test_a_worker_refuses_another_teacher(tmp_path, store):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(StudyMismatch, match=r"teacher .*other\.safetensors on .* is another one: SHA-256"):
        workers.load_recorded_study("moved", store.storage, Sources(teacher=str(tmp_path / "other.safetensors")))
    (tmp_path / "features.yaml").write_text("features: [a, b, {name: c, range: [0.0, 1.0]}]\n")
    with pytest.raises(StudyMismatch, match=r"features .*features\.yaml on .* is another one"):
        workers.load_recorded_study("moved", store.storage, Sources(features=str(tmp_path / "features.yaml")))


def test_sqlite_stays_on_its_machine(store, tiny):
    study, queue = open_queue(tiny("machine"), store.storage, store.tracking)
    study.set_user_attr(HOST, "elsewhere")
    with pytest.raises(StorageError, match="a study of elsewhere, and SQLite cannot be shared between machines; keep"):
        workers.join("machine", store.storage)
    study.set_user_attr(HOST, socket.gethostname())
    trial = queue.claim(4).trial
    queue.storage.set_trial_user_attr(trial._trial_id, "worker", "elsewhere/1/0.00/abc")
    for run in (workers.join, lambda name, *where: run_study(tiny(name), *where)):
        with pytest.raises(StorageError, match="used by a worker on elsewhere"):
            run("machine", store.storage, store.tracking)
    queue.storage.engine.dispose()


def test_an_mlflow_file_of_another_machine_is_out_of_reach(postgresql, store, tiny, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    open_queue(tiny("reach"), postgresql, store.tracking)
    live_study(postgresql, "reach").set_user_attr(HOST, "elsewhere")
    with pytest.raises(TrackingError, match="is a file on elsewhere, out of reach"):
        workers.join("reach", postgresql)


def test_credentials_are_nowhere(postgresql, tiny, monkeypatch):
    url = postgresql.replace("postgres@", "postgres:hunter2@")
    monkeypatch.setattr("dfkd_tune.tracking.tracker.ready", lambda *where: None)  # nobody listens there
    study, queue = open_queue(tiny("secret"), url, "http://me:hunter2@127.0.0.1:9/?password=hunter2")
    assert study.user_attrs[TRACKING] == "http://127.0.0.1:9/?password="
    with queue.storage.engine.connect() as connection:
        tables = [
            name for (name,) in connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        ]
        assert len(tables) > 10
        for table in tables:
            assert "hunter2" not in str(connection.execute(text(f"SELECT * FROM {table}")).all())
    queue.storage.engine.dispose()
    work = workers.Work("secret", url, "http://me:hunter2@127.0.0.1:9", Sources())
    assert "hunter2" not in f"{work} {work!r}"


def test_progress_is_not_over_before_the_reruns_are(store, tiny):
    seen = []
    run_study(
        tiny("ahead", trials=3, reruns=1), store.storage, store.tracking, lambda p: seen.append((p.share, p.reruns))
    )
    assert all(share < 1 for share, reruns in seen if reruns is None or reruns[0] < reruns[1])
    assert seen[-1] == (1.0, (2, 2))


def test_workers_that_die_are_not_started_for_ever(store, tiny, monkeypatch):
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    monkeypatch.setattr(workers, "DEATHS", 1)

    def kill(progress) -> None:
        for each in workers.multiprocessing.active_children():
            each.kill()

    with pytest.raises(WorkersError, match=r"study 'doomed': 2 workers died in a row, the last with exit status -9"):
        workers.run_workers(tiny("doomed"), store.storage, store.tracking, 1, on_progress=kill)
    assert {trial.state for trial in store.trials("doomed")} == {TrialState.WAITING}


def lead(tree: dict, storage: str, tracking: str, file: str) -> None:
    """Run a study with one worker process, whose PID is written down."""

    def note(progress) -> None:
        pids = [each.pid for each in workers.multiprocessing.active_children() if each.name.startswith("worker of")]
        if progress.ended and pids:
            (whole := Path(f"{file}.part")).write_text(str(pids[0]))
            whole.replace(file)

    workers.run_workers(prepare(parse_spec(tree, "starter-killed")), storage, tracking, 1, on_progress=note)


def test_workers_whose_starter_was_killed_give_their_trials_back(store, tree, tmp_path, start):
    file = tmp_path / "pid"
    leader = start(lead, tree("starter-killed", trials=10_000), store.storage, store.tracking, str(file))
    while not file.exists():
        assert leader.alive(), leader.said
        time.sleep(0.05)
    leader.process.kill()
    while psutil.pid_exists(int(file.read_text())):
        time.sleep(0.05)
    states = {trial.state for trial in store.trials("starter-killed")}
    assert TrialState.COMPLETE in states and states <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING}


def test_a_failure_of_a_worker_is_told():
    """What one process finds wrong is told in a line, as if there were no other."""
    error = StorageError("here", "is full")
    with pytest.raises(StorageError, match="here: is full"):
        workers.conclusion("any", [Interrupted("any"), error])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        workers.conclusion("any", ["Traceback ... ZeroDivisionError"])
    with pytest.raises(Interrupted):
        workers.conclusion("any", [Interrupted("any")])


def test_a_module_that_cannot_be_imported_hinders_no_worker(monkeypatch):
    """``git`` raises ``ImportError`` on a machine without the program."""
    monkeypatch.setattr(workers, "IMPORTS", ("colorsys", "no_such_module"))
    monkeypatch.setattr(workers, "fork_the_server", lambda idle: "reached")
    assert workers.prepare_to_start() == "reached"


@pytest.mark.slow
def test_the_command_line_starts_workers(tmp_path, tree, dfkd, store):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("two-hands", trials=10, reruns=1)))
    ended = dfkd("study", "study.yaml", "--workers", "2", *store.options)
    assert ended.status == 0, ended.err
    trials = store.trials("two-hands")
    assert [trial.number for trial in trials] == list(range(10))
    assert len({trial.user_attrs["worker"].split("/")[1] for trial in trials}) == 2
