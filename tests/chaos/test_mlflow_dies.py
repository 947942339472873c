"""A real MLflow server that is killed, comes back, loses answers or never comes back: nothing a study recorded is lost."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from optuna.trial import TrialState
from processes import command_line, free_port
from proxies import between
from tiny_studies import runs_of

from dfkd_tune import register
from dfkd_tune.errors import NotFound, TrackingError
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync

pytestmark = pytest.mark.usefixtures("undrawn")

DEATHS, TRIALS = 20, 120
"""Of the long test, in which a death follows the one before as soon as the server answers again."""
STUDENT = {"student.safetensors", "architecture.yaml", "recipe.yaml", "result.json", "sha256.json"}


class Mortal:
    """A real ``mlflow server`` on one port and one backend, that can be killed and started again."""

    def __init__(self, folder: Path, backend: str):
        self.port, self.folder, self.backend = free_port(), folder, backend
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        self.deaths = 0

    def start(self, wait: bool = True) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port)]
        lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WORKERS": "1"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | lean | {"PATH": path}
            )
        if wait:
            self.answer()

    def answer(self, patience: float = 120.0) -> None:
        """Wait until it does."""
        until = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                log = (self.folder / "server.log").read_text(errors="replace")[-2000:]
                assert self.process.poll() is None and time.monotonic() < until, log
                time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process, self.deaths = None, self.deaths + 1


@pytest.fixture
def mortal(store, tmp_path) -> Iterator[Mortal]:
    store.hand_out(tmp_path)
    server = Mortal(tmp_path, f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    yield server
    server.kill()


def assert_recorded(uri: str, storage: str, name: str, total: int) -> None:
    """Every trial has one run that says what became of it, with its student; nothing is left RUNNING."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name).experiment_id
    runs = list(client.search_runs([experiment], "", ViewType.ACTIVE_ONLY, max_results=5000))
    assert not [run.info.run_name for run in runs if run.info.status == "RUNNING"]
    ids = Counter(run.data.tags.get("dfkd.record") for run in runs if run.data.tags["dfkd.kind"] != "study")
    assert set(ids.values()) == {1}, ids
    (parent,) = (run for run in runs if run.data.tags["dfkd.kind"] == "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["study/trials"] == total
    by_id = {run.data.tags.get("dfkd.record"): run for run in runs}
    trials = load_study(storage, name).get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(total))
    for trial in trials:
        run = by_id[trial.user_attrs["record"]]
        assert run.data.params["trial"] == str(trial.number)
        assert run.data.tags["dfkd.state"] == trial.state.name
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == ("FINISHED" if trial.state == TrialState.COMPLETE else "KILLED")
        if trial.state == TrialState.COMPLETE:
            assert run.data.metrics["robust"] == pytest.approx(trial.value)
            files = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "student")}
            assert files >= STUDENT
            assert client.get_metric_history(run.info.run_id, "curve/rmse")
    promoted = client.search_runs([experiment], f"attributes.run_name = '{parent.data.tags['dfkd.promoted']}'")[0]
    assert client.list_artifacts(promoted.info.run_id, "certificate")
    assert parent.data.metrics["certificate/rmse"] > 0


def dump(database: Path) -> list[str]:
    """All that is in an SQLite file."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def landed(progress) -> int:
    return progress.done + progress.pruned + progress.failed


def test_a_server_that_is_killed_and_loses_answers_gets_everything(mortal, tiny, tmp_path):
    storage, lost, all_lost = f"sqlite:///{tmp_path}/optuna.db", [], threading.Event()

    def lose(path: str, data: bytes) -> bytes | None:
        if path.endswith("runs/create") and len(lost) < 3:
            lost.append(path)
            if len(lost) == 3:
                all_lost.set()
            return data if len(lost) == 2 else None
        return data

    def watch(progress) -> None:
        if landed(progress) >= 3 and not mortal.deaths:
            assert all_lost.wait(120)
            mortal.kill()
        elif landed(progress) >= 5 and mortal.process is None:
            mortal.start(wait=False)

    mortal.start()
    with between(mortal.url, lose) as url:
        done = run_study(tiny("mortal", trials=8, reruns=1), storage, url, watch)
    assert mortal.deaths == 1 and len(lost) == 3
    assert done.progress.done + done.progress.pruned == 8
    mortal.answer()
    sync(storage, mortal.url, "mortal")
    assert_recorded(mortal.url, storage, "mortal", 8)
    before = dump(tmp_path / "mlruns" / "mlflow.db")
    again = sync(storage, mortal.url, "mortal")
    assert (again.written, again.ended, again.rebuilt, again.refused) == (0, 0, 0, ())
    assert dump(tmp_path / "mlruns" / "mlflow.db") == before


def test_a_server_that_keeps_everybody_waiting_holds_up_nothing(monkeypatch, mlflow_server, tiny, tmp_path):
    """From the first trial on no request is answered; only when all trials and re-runs have ended is that mended."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    storage, answering = f"sqlite:///{tmp_path}/optuna.db", threading.Event()
    answering.set()
    waiting: list[str] = []
    seen: list[int] = []

    def keep_waiting(path: str, data: bytes) -> bytes:
        if not answering.is_set():
            waiting.append(path)
            answering.wait(600)
        return data

    def watch(progress) -> None:
        if landed(progress) >= 1 and not seen and not waiting:
            answering.clear()
        if progress.reruns == (2, 2) and not seen:
            seen.append(len(waiting))
            answering.set()

    with between(mlflow_server.url, keep_waiting) as url:
        run_study(tiny("kept-waiting", trials=4, reruns=1), storage, url, watch)
    assert seen == [1], "the shipper asks one thing at a time, and nobody else asked for anything"
    assert_recorded(mlflow_server.url, storage, "kept-waiting", 4)


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "its own"])
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_server_that_dies_again_and_again(request, store, tiny, tmp_path, backend, whose):
    """A server of a stranger that dies as often takes the machine as much: what the outages cost is the time over that."""
    if backend == "sqlite":
        store.hand_out(tmp_path)
        url = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    else:
        url = request.getfixturevalue("postgresql").replace("://", "+psycopg2://")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    store.hand_out(elsewhere)
    server, storage, over = Mortal(tmp_path, url), f"sqlite:///{tmp_path}/optuna.db", threading.Event()
    stranger = Mortal(elsewhere, f"sqlite:///{elsewhere}/mlruns/mlflow.db")
    victim, deaths = server if whose == "its own" else stranger, 0 if whose == "nobody's" else DEATHS
    dice, trained, under_way = random.Random(3), [], threading.Event()

    def haunt() -> None:
        under_way.wait()  # a study that has not begun refuses a server that is down
        while victim.deaths < deaths and not over.wait(dice.uniform(0.2, 2.0)):
            victim.kill()
            victim.start()

    def watch(progress) -> None:
        under_way.set()
        if progress.reruns == (4, 4) and not trained:
            trained.append(time.monotonic() - begun)

    ghost = threading.Thread(target=haunt)
    try:
        server.start()
        ghost.start()
        begun, used = time.monotonic(), time.process_time()
        about = {"trials": TRIALS, "budget": {"steps": 3000, "batch": 100}, "population": 4, "reruns": 2}
        run_study(tiny("haunted", **about), storage, server.url, watch)
        took, used = time.monotonic() - begun, time.process_time() - used
        over.set()
        ghost.join()
        assert victim.deaths >= deaths // 2, "the study was over before"
        done = sync(storage, server.url, "haunted")
        assert_recorded(server.url, storage, "haunted", TRIALS)
        figures = {"trained": trained[0], "took": took, "process": used, "deaths": deaths, "synced": done.written}
        print(backend, whose, figures)
    finally:
        over.set()
        under_way.set()
        if ghost.ident is not None:
            ghost.join()
        server.kill()
        stranger.kill()


def test_a_study_ends_without_its_server(mlflow_server, store, tiny, tmp_path, caplog, start):
    """The server is gone in mid-study for good: the study ends by itself, and one command completes the records elsewhere."""
    storage = f"sqlite:///{tmp_path}/mlruns/optuna.db"
    (tmp_path / "mlruns").mkdir()
    with contextlib.ExitStack() as line:
        gone = line.enter_context(between(mlflow_server.url))
        done = run_study(
            tiny("widow", trials=3, reruns=1),
            storage,
            gone,
            lambda progress: line.close() if landed(progress) >= 1 else None,
        )
    assert done.progress.done + done.progress.pruned == 3
    assert done.promoted is not None and done.report is None
    (told,) = (record.getMessage() for record in caplog.records if "dfkd-tune sync" in record.getMessage())
    assert "\n" not in told and told.endswith(f"dfkd-tune sync widow --storage {storage} --tracking-uri {gone}")
    # To go on, a study that MLflow knows does not need it; a new one does.
    assert run_study(tiny("widow", trials=4, reruns=1), storage, gone).progress.done == 4
    with pytest.raises(TrackingError):
        run_study(tiny("new", trials=1), storage, gone)

    def synced(uri: str) -> tuple[int, str]:
        process = start(command_line, tmp_path, "sync", "widow", "--tracking-uri", uri)
        return process.wait(), process.said

    status, said = synced(gone)
    assert status == 1 and len(said.splitlines()) == 1, said
    status, said = synced(mlflow_server.url)
    assert status == 0 and "1 certificates made" in said, said
    assert_recorded(mlflow_server.url, storage, "widow", 4)
    before = dump(store.home / "mlruns" / "mlflow.db")
    status, said = synced(mlflow_server.url)
    assert status == 0 and "nothing was missing" in said, said
    assert dump(store.home / "mlruns" / "mlflow.db") == before
    assert register(mlflow_server.url, "widow", "widow").report_rmse > 0


def test_an_mlflow_that_was_lost_is_made_again(store, tiny, tmp_path):
    """First from the spool and the storage, then from the storage alone: that knows no students."""
    storage, lost = f"sqlite:///{tmp_path}/optuna.db", f"sqlite:///{tmp_path}/lost/mlruns/mlflow.db"
    for place in ("lost", "new", "bare"):
        (tmp_path / place).mkdir()
        store.hand_out(tmp_path / place)
    done = run_study(tiny("lost", trials=4, reruns=1), storage, lost)
    new = f"sqlite:///{tmp_path}/new/mlruns/mlflow.db"
    sync(storage, new, "lost")
    assert_recorded(new, storage, "lost", 4)
    assert told(new) == told(lost)

    shutil.rmtree(tmp_path / "spool")
    bare = f"sqlite:///{tmp_path}/bare/mlruns/mlflow.db"
    assert sync(storage, bare, "lost").rebuilt == 4
    trials = {run.data.params["trial"]: run for run in runs_of(bare, "lost", "trial")}
    for run in runs_of(lost, "lost", "trial"):
        made = trials[run.data.params["trial"]]
        assert (made.info.status, made.data.params) == (run.info.status, run.data.params)
        assert made.data.metrics.items() <= run.data.metrics.items()
        assert made.data.metrics["robust"] == run.data.metrics["robust"]
    (parent,) = runs_of(bare, "lost", "study")
    assert parent.info.status == "FINISHED"
    assert sync(storage, bare, "lost").written == 0
    with pytest.raises(NotFound, match="holds no student"):
        register(bare, "lost", "lost", trial=done.promoted.trial)


def told(uri: str) -> list:
    """What an MLflow says of the runs of a study, but the ids that it gave them."""
    return [
        (
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            run.data.params,
            run.data.metrics,
            {key: value for key, value in run.data.tags.items() if key.startswith("dfkd.")},
        )
        for run in runs_of(uri, "lost")
    ]
