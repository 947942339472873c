"""Settings of every test: one thread, and nothing sent anywhere; and what tests of whole studies share."""

from __future__ import annotations

import os

# Before torch, numpy and scikit-learn are imported, as each starts its threads then.
for name, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "OMP_NUM_THREADS": "1",
}.items():
    os.environ[name] = value

import gc

gc.disable()  # until all is imported: it would look at what stays again and again, for a fifth of the time

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import empty_database
from tiny_studies import SEARCH, STUDY, TINY, Store
from undrawn import draw, leave_blank

# PyTorch is imported where it is used: the process that hands tests out to others loads this file, too.
if TYPE_CHECKING:
    from processes import Process


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it, and what tests leave is no hurry."""
    import torch

    torch.set_num_threads(1)
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def small_teacher(tmp_path_factory) -> dict[str, str]:
    """A 3-16-1 tanh network as a study file names it: weights and architecture."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    save_file(network.state_dict(), folder / "teacher.safetensors")
    (folder / "teacher.yaml").write_text("layers: [3, 16, 1]\n")
    return {"path": str(folder / "teacher.safetensors"), "architecture": str(folder / "teacher.yaml")}


@pytest.fixture(scope="session")
def tree(small_teacher) -> Callable[..., dict]:
    """Makes the plain values of a tiny study file: ``tree("pump", trials=4, search={...}, budget={"steps": 100})``."""

    def make(name: str, *, budget: dict | None = None, **given) -> dict:
        about = {k: given.pop(k) for k in [*given] if k in STUDY}
        study = {"name": name, "trials": 4, "population": 2, "leaders": 2, "reruns": 0} | about
        made = {"study": study, "teacher": small_teacher, "budget": TINY | (budget or {}), "preset": "paper"}
        return made | {"search": SEARCH} | given

    return make


@pytest.fixture(scope="session")
def tiny(tree) -> Callable:
    """Makes a tiny study ready to run, with the arguments of ``tree``."""
    from dfkd_tune.search.study_file import parse_spec
    from dfkd_tune.study.prepare import prepare

    return lambda name, **given: prepare(parse_spec(tree(name, **given), name))


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    """One store for many tests, each with studies of its own name: MLflow takes seconds to make a fresh one."""
    made = Store(tmp_path_factory.mktemp("home"))
    made.make()
    return made


def run_drawn(prepared, storage: str, tracking: str):
    """A whole study with its figures, whichever test is the first to ask for it."""
    from dfkd_tune.study.session import run_study

    with pytest.MonkeyPatch.context() as patch:
        draw(patch)
        return run_study(prepared, storage, tracking)


@pytest.fixture(scope="session")
def finished(store, tiny):
    """A finished study of six trials, called ``finished``, for tests that only look at it."""
    return run_drawn(tiny("finished", trials=6, population=3, reruns=1), store.storage, store.tracking)


@pytest.fixture(scope="module")
def late_reruns() -> Iterator[None]:
    """Re-runs begin after the last trial, so that none is of a recipe that a later trial overtakes."""
    from dfkd_tune.study import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "leaders_are_settled", lambda study, leaders, unfinished: not unfinished)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """For tests of what is recorded: their figures are empty files."""
    with pytest.MonkeyPatch.context() as patch:
        leave_blank(patch)
        yield


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def dfkd(monkeypatch, capfd, tmp_path) -> Callable[..., Ended]:
    """Runs the command line in this process, through its real entry point, from an empty directory or ``cwd``."""
    from dfkd_tune.cli.main import main

    # This process runs other tests later, whose processes are not to be forks of what it is now.
    monkeypatch.setattr("dfkd_tune.study.workers.fork_the_server", lambda idle=(): False)

    def run(*argv: object, cwd: Path | None = None) -> Ended:
        monkeypatch.chdir(cwd or tmp_path)
        monkeypatch.setattr(sys, "argv", ["dfkd-tune", *map(str, argv)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, store) -> Path:
    """The directory in which a reader of the tutorial sits: its files, and a store."""
    from pages import Page, run_snippet

    folder = tmp_path_factory.mktemp("workshop")
    store.hand_out(folder)
    tutorial = Page("getting-started/own-teacher.md")
    tutorial.write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_snippet(tutorial.blocks("python")[0], "own-teacher.md")
    return folder


@pytest.fixture
def reader(workshop, dfkd, monkeypatch) -> Iterator[Path]:
    """A reader at work there, whose MLflow is found by its default."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    monkeypatch.chdir(workshop)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with _use_tracking_uri(f"sqlite:///{workshop}/mlruns/mlflow.db"):
        yield workshop


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Process]]:
    """Starts processes that call a function; those still running at the end are killed."""
    from processes import Process

    started: list[Process] = []

    def make(function: Callable, *arguments) -> Process:
        started.append(Process(function, *arguments, log=tmp_path / f"process-{len(started)}.log"))
        return started[-1]

    yield make
    for each in started:
        if each.alive():
            each.process.kill()
        each.process.join()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """^C raises ``KeyboardInterrupt``, also where the tests were started in the background, which ignores it."""
    import signal

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def busy_cores() -> Iterator[set[int]]:
    """Two cores, or the only one, each with a process that computes all the time, and that this process did not start."""
    import psutil

    cores = set(sorted(os.sched_getaffinity(0))[:2])
    loops = []
    for core in cores:
        code = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
        shell = ["sh", "-c", '"$0" -c "$1" >/dev/null 2>&1 & echo $!', sys.executable, code]
        loops.append(psutil.Process(int(subprocess.run(shell, check=True, capture_output=True).stdout)))
    yield cores
    for loop in loops:
        loop.kill()


@dataclass(frozen=True)
class Server:
    """A real MLflow server and its process."""

    url: str
    process: subprocess.Popen


@pytest.fixture(scope="session")
def mlflow_server(store, finished, tmp_path_factory) -> Iterator[Server]:
    """The MLflow server that ``dfkd-tune ui`` starts on the shared store."""
    from processes import free_port, serving

    port = free_port()
    command = [sys.executable, "-m", "dfkd_tune", "ui", "--port", str(port), "--tracking-uri", store.tracking]
    with serving(command, f"http://127.0.0.1:{port}/health", tmp_path_factory.mktemp("server")) as process:
        yield Server(f"http://127.0.0.1:{port}", process)


@pytest.fixture(scope="session")
def served(mlflow_server, tmp_path_factory, tiny):
    """A finished study of six trials, called ``served``, recorded through a server."""
    folder = tmp_path_factory.mktemp("optuna")
    return run_drawn(
        tiny("served", trials=6, population=3, reruns=1), f"sqlite:///{folder}/optuna.db", mlflow_server.url
    )


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped afterwards."""
    with empty_database() as url:
        yield url


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One network in every format that a file can have."""
    import torch
    from safetensors.torch import save_file
    from teacher_files import ROWS, network, save_architecture, save_pt2

    folder = tmp_path_factory.mktemp("formats")
    net = network()
    names = ("net.pt2", "net.safetensors", "state.pt", "checkpoint.pth", "script.pt", "trace.ts", "module.bin")
    files = {name: folder / name for name in names}
    save_pt2(net, files["net.pt2"])
    save_file(net.state_dict(), files["net.safetensors"])
    torch.save(net.state_dict(), files["state.pt"])
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, files["checkpoint.pth"])
    torch.jit.script(net).save(files["script.pt"])
    torch.jit.trace(net, ROWS).save(files["trace.ts"])
    torch.save(net, files["module.bin"])
    save_architecture(folder)
    return files


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A function that makes Python text importable and returns ``module:teacher``."""
    numbers, made = count(), []
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        name = f"teacher_{tmp_path.name}_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text("import torch\nfrom torch import nn\n" + text)
        importlib.invalidate_caches()
        made.append(name)
        return f"{name}:teacher"

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def marker(tmp_path):
    """A file that only code hidden in a teacher makes; it must never appear."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


@pytest.fixture
def student_of(tmp_path):
    """Downloads the student of a run: the module and its ``result.json``."""

    from mlflow import MlflowClient

    from dfkd_tune.export.student_files import read_student

    def fetch(uri: str, run):
        folder = MlflowClient(uri).download_artifacts(run.info.run_id, "student", str(tmp_path))
        return read_student(Path(folder))

    return fetch
