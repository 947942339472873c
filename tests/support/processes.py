"""Processes of tests: calls with the imports done, the command line as its script runs it, servers that answer."""

import contextlib
import ctypes
import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from undrawn import leave_blank

from dfkd_tune.study.workers import IMPORTS as WORKER_IMPORTS

FORKS = multiprocessing.get_context("forkserver")
IMPORTS = [
    *WORKER_IMPORTS,
    "dfkd_tune.cli.main",
    "dfkd_tune.registry.register",
    "dfkd_tune.reporting.publication",
    "dfkd_tune.reporting.terminal_summary",
    "dfkd_tune.study.session",
    "dfkd_tune.study.workers",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.artifacts",
    "torch.export._trace",
    "torch._export.serde.serialize",
    "torch._inductor.ir",
]
"""What most processes of tests import, which takes most of their time."""
FORKS.set_forkserver_preload(IMPORTS)


class Process:
    """A process that calls a function. It starts with the imports done, which take most of the time, and draws nothing."""

    def __init__(self, function: Callable, *arguments, log: Path):
        self._log = log
        self.process = FORKS.Process(target=_in_process, args=(function, arguments, str(log)))
        self.process.start()

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def alive(self) -> bool:
        return self.process.is_alive()

    def wait(self, patience: float = 240.0) -> int:
        """Its exit status, negative when a signal ended it."""
        self.process.join(patience)
        assert not self.alive(), f"still running after {patience} s: {self.said}"
        return self.process.exitcode


def _in_process(function: Callable, arguments: tuple, log: str) -> None:
    gc.freeze()
    torch.set_num_threads(1)
    leave_blank(pytest.MonkeyPatch())
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    function(*arguments)


ANSWER = """
import gc, json, os, runpy, sys, tempfile, traceback

gc.disable()  # it takes a fifth of the imports' time
for name in json.loads(sys.stdin.readline()):
    __import__(name)


def ask(kind, what, *argv):
    gc.freeze()
    gc.enable()
    sys.argv = [what, *argv]
    try:
        runpy.run_module(what, run_name="__main__") if kind == "-m" else exec(what, {"__name__": "__main__"})
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    if not (child := os.fork()):
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        status = ask(*json.loads(line))
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.seek(0), err.seek(0)
    print(json.dumps([status, out.read(), err.read()]), flush=True)
"""
"""A Python that answers each ``-m module`` and ``-c code`` in a fork of its own, with the imports done."""


@contextlib.contextmanager
def asking(python: Path, cwd: Path, environment: dict) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """Runs what ``python -m`` and ``python -c`` take, again and again, in processes of that Python which are cheap."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([python, "-c", ANSWER], **pipes, cwd=cwd, env=environment) as process:
        print(json.dumps(IMPORTS), file=process.stdin, flush=True)

        def ask(*argv: str) -> subprocess.CompletedProcess:
            print(json.dumps(argv), file=process.stdin, flush=True)
            return subprocess.CompletedProcess(argv, *json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


def command_line(cwd: Path, *argv: object) -> None:
    """What the ``dfkd-tune`` script does, from a directory."""
    from dfkd_tune.cli.main import main

    os.chdir(cwd)
    sys.argv = ["dfkd-tune", *map(str, argv)]
    main()


def who_may_not_write(cwd: Path, *argv: object) -> None:
    """The same, by a process that permissions bind even where it is root's."""
    _obey_permissions()
    command_line(cwd, *argv)


def script_that_may_not_write(cwd: Path, code: str) -> None:
    """Python text, from a directory, by such a process."""
    _obey_permissions()
    os.chdir(cwd)
    exec(code, {"__name__": "__main__"})


def _obey_permissions() -> None:
    """Give up the capabilities by which root passes permissions by."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3, this process
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    data[:3] = [word & ~0b1111 for word in data[:3]]  # of chown, and of reading and writing what others own
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(command: list[str], url: str, cwd: Path, patience: float = 120.0) -> Iterator[subprocess.Popen]:
    """A server process that answers at ``url``, ended with its children."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    # Like an activated environment: MLflow looks for uvicorn on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WORKERS": "1"}
    environment = os.environ | lean | {"PATH": path}
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd, env=environment
    )
    try:
        until = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    said = log.read().decode(errors="replace")[-2000:]
                    pytest.fail(f"{command[:4]} does not answer at {url}: {said}")
                time.sleep(0.2)
        yield process
        ended = process.poll()
        log.seek(0)
        assert ended is None, f"ended by itself with {ended}: {log.read().decode(errors='replace')[-2000:]}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


@contextlib.contextmanager
def inferring(
    folder: Path, kind: str = "array", port: int | None = None, secret: tuple[str, ...] = ()
) -> Iterator[str]:
    """The address of an ``inference_server`` of one kind, which works in a folder."""
    port = port or free_port()
    command = [sys.executable, "-S", str(Path(__file__).with_name("inference_server.py")), str(port), kind, *secret]
    with serving(command, f"http://127.0.0.1:{port}/ping", folder):
        yield f"http://127.0.0.1:{port}"
