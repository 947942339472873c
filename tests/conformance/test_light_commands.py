"""Commands that only look at a study answer without PyTorch, whose import takes seconds."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from processes import free_port

LOOK = """
import json, os, sys, tempfile
import mlflow.store.tracking.sqlalchemy_store, optuna.storages
from dfkd_tune.cli.main import main

HEAVY, DRAWN = {"torch", "matplotlib", "sklearn"}, {"report": {"matplotlib", "sklearn"}}
os.execve = lambda *given: None  # ``ui`` becomes a server


def ask(argv, environment):
    os.environ |= environment
    sys.argv = ["dfkd-tune", *argv]
    try:
        main()
        return 0
    except SystemExit as end:
        return end.code or 0


for line in sys.stdin:
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    if not (child := os.fork()):
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        status = ask(*json.loads(line))
        if heavy := HEAVY & sys.modules.keys() - DRAWN.get("".join(sys.argv[1:2]), set()):
            print("imported", heavy, file=sys.stderr)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(2 if heavy else status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.seek(0), err.seek(0)
    print(json.dumps([status, out.read(), err.read()]), flush=True)
"""
"""Answers each command in a fork of its own, which has imported what MLflow and Optuna need, and nothing else."""
NAMES = {"_DFKD_TUNE_COMPLETE": "bash_complete", "COMP_WORDS": "dfkd-tune show fin", "COMP_CWORD": "2"}
"""What a shell asks with for names of studies."""


@pytest.fixture(scope="module")
def look(store) -> Iterator[Callable[..., str]]:
    """Runs a command as its script does, and gives what it printed."""
    command = [sys.executable, "-c", LOOK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=store.home) as process:

        def ask(*argv: str, **environment: str) -> str:
            print(json.dumps([argv, environment]), file=process.stdin, flush=True)
            status, out, err = json.loads(process.stdout.readline())
            assert status == 0, err
            return out

        yield ask
        process.stdin.close()


@pytest.mark.parametrize("more", [[], ["--json"], ["--rows", "2"]], ids=" ".join)
def test_show(look, store, finished, more):
    assert "generator" in look("show", "finished", *store.options[:2], *more)


def test_report(look, store, finished, tmp_path):
    """It draws figures of trials, and shows those of the student as they were kept."""
    page = tmp_path / "report.html"
    assert str(page) in look("report", "finished", "--out", str(page), *store.options)
    assert "<svg" in page.read_text() and "image/png" in page.read_text()


def test_show_without_a_name(look, store, finished):
    assert "trial" in look("show", *store.options[:2])


@pytest.mark.parametrize("more", [[], ["--json"]], ids=" ".join)
def test_list(look, store, finished, more):
    assert "finished" in look("list", *store.options[:2], *more)


def test_compare(look, store, finished, tiny):
    from dfkd_tune.study.session import run_study

    run_study(tiny("compared", trials=1), store.storage, store.tracking)
    assert "seed noise" in look("compare", "finished", "compared", *store.options[:2])


def test_show_before_a_study_has_ended(look, store, tiny):
    """Without a trial, a baseline or a promoted student."""
    from dfkd_tune.study.opening import open_queue

    open_queue(tiny("unbegun"), store.storage, store.tracking)
    assert "No trial of unbegun is complete" in look("show", "unbegun", *store.options[:2])


def test_sync_of_a_whole_study(look, store, finished):
    assert "nothing was missing" in look("sync", "finished", *store.options)


def test_ui(look, store, finished):
    told = look("ui", "--port", str(free_port()), *store.options[2:])
    assert "mlflow ui" in told


def test_completion(look, store, finished):
    assert "_dfkd_tune_completion" in look("completion", "bash")
    assert "finished" in look(**NAMES)


def test_a_command_that_distills_would_be_told(look, store, small_teacher):
    """The check itself: what needs PyTorch fails it."""
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"], "--out", "made"]
    with pytest.raises(AssertionError, match=r"imported .*torch"):
        look("distill", *given, "--preset", "none")
