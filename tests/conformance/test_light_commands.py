"""Commands that only look at a study answer without PyTorch, whose import takes seconds; any command refuses a wrong name without it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from processes import free_port

LOOK = """
import importlib, json, os, sys, tempfile
from dfkd_tune.cli.main import main

before, HEAVY, DRAWN = json.loads(sys.argv[1])
for name in before:
    importlib.import_module(name)
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
        if heavy := {*HEAVY} & sys.modules.keys() - {*DRAWN.get("".join(sys.argv[1:2]), ())}:
            print("imported", heavy, file=sys.stderr)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(99 if heavy else status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.seek(0), err.seek(0)
    print(json.dumps([status, out.read(), err.read()]), flush=True)
"""
"""Answers each command in a fork of its own, which has imported the given modules, and nothing else."""
LOOKING = (
    ["mlflow.store.tracking.sqlalchemy_store", "optuna.storages"],
    ["torch", "matplotlib", "sklearn"],
    {"report": ["matplotlib", "sklearn"]},
)
"""For commands that look: what they may import, what they must not, and exceptions from it."""
NAMED_ALREADY = ["torch", "mlflow", "sklearn", "matplotlib", "pandas", "scipy", "onnx"]
"""What no command imports before it has refused a name, an option or a file."""
NAMES = {"_DFKD_TUNE_COMPLETE": "bash_complete", "COMP_WORDS": "dfkd-tune show fin", "COMP_CWORD": "2"}
"""What a shell asks with for names of studies."""


@contextmanager
def asked(home, before, heavy, drawn) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Runs commands as their script does, and gives exit status, output and errors."""
    command = [sys.executable, "-c", LOOK, json.dumps([before, heavy, drawn])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=home) as process:

        def ask(*argv: str, **environment: str) -> tuple[int, str, str]:
            print(json.dumps([argv, environment]), file=process.stdin, flush=True)
            return tuple(json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


@pytest.fixture(scope="module")
def look(store) -> Iterator[Callable[..., str]]:
    """Runs a command that succeeds, and gives what it printed."""
    with asked(store.home, *LOOKING) as ask:

        def answer(*argv: str, **environment: str) -> str:
            status, out, err = ask(*argv, **environment)
            assert status == 0, err
            return out

        yield answer


@pytest.fixture(scope="module")
def refuse(store) -> Iterator[Callable[..., str]]:
    """Runs a command that refuses what it was given, and gives its message."""
    with asked(store.home, [], NAMED_ALREADY, {}) as ask:

        def answer(*argv: str) -> str:
            status, _, err = ask(*argv)
            assert status in (1, 2), err
            return err

        yield answer


REFUSED = {
    "show": ["show nosuch", "does not exist here; known: "],
    "report": ["report nosuch", "does not exist here; known: "],
    "report, place": ["report finished --out none/page.html", "there is no folder none"],
    "register": ["register nosuch --model pump", "is unknown to MLflow"],
    "register, model": ["register finished --model a/b", "--model: must be letters"],
    "register, alias": ["register finished --model pump --alias v2", "--alias: must be a word"],
    "register, trial": ["register finished --model pump --trial 999", "has no complete trial 999"],
    "register, file": ["register finished --model pump --teacher none.pt2", "none.pt2: no such file"],
    "check": ["check none.yaml", "none.yaml: no such file"],
    "check, file": ["check --teacher none.pt2", "none.pt2: no such file"],
    "study": ["study none.yaml", "none.yaml: no such file"],
    "distill": ["distill --teacher none.pt2 --out made", "none.pt2: no such file"],
    "export": ["export nosuch --out student.npz", "is unknown to MLflow"],
    "export, format": ["export finished --out student.none", "its suffix names no export format"],
    "export, kind": ["export finished --out student --format none", "'none' is not one of pt2"],
    "export, place": ["export finished --out none/student.pt2", "there is no folder none"],
    "export, trial": ["export finished --out student.npz --trial 999", "has no complete trial 999"],
    "export, precision": ["export finished --out a.safetensors --precision int8", "--precision int8 is not for"],
    "export, option": ["export finished --out student.npz --guard", "is for --format c alone"],
    "export, file": ["export finished --out student.npz --features none.yaml", "none.yaml: no such file"],
    "latency": ["latency nosuch", "is unknown to MLflow"],
    "evaluate": ["evaluate nosuch --data rows.csv", "is unknown to MLflow"],
    "sync": ["sync nosuch", "does not exist here; known: "],
}
"""What is wrong -> a command line, and what its message says."""
IN_MLFLOW = ("register", "export", "latency", "evaluate")
"""Commands that take the options of MLflow alone."""


@pytest.mark.parametrize("case", REFUSED)
def test_names_options_and_files_are_refused_before_anything_heavy_is_imported(refuse, store, finished, case):
    line, message = REFUSED[case]
    command = line.split()
    given = {"show": store.options[:2], "report": store.options, "sync": store.options}
    options = given | dict.fromkeys(IN_MLFLOW, store.options[2:])
    assert message in refuse(*command, *options.get(command[0], []))


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


def test_a_command_that_distills_would_be_told(look, refuse, store, small_teacher):
    """The check itself: what needs PyTorch fails it."""
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"], "--out", "made"]
    with pytest.raises(AssertionError, match=r"imported .*torch"):
        look("distill", *given, "--preset", "none")
    with pytest.raises(AssertionError, match=r"imported .*torch"):
        refuse("distill", *given, "--preset", "none")
