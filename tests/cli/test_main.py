"""The command line end to end on tiny studies: what each command leaves, and what it says of bad input."""

import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from asked import files_of

pytestmark = pytest.mark.usefixtures("undrawn")

COMMANDS = {
    "study": ["--n-trials", "--teacher", "--features", "--name", "--seed", "--storage", "--tracking-uri"],
    "distill": ["--teacher", "--preset", "--recipe", "--run", "--features", "--seed", "--out"],
    "check": [],
    "show": ["--json", "--storage"],
    "report": ["--out", "--storage", "--tracking-uri"],
    "register": ["--model", "--trial", "--alias", "--tracking-uri"],
    "export": ["--trial", "--format", "--out", "--precision", "--within", "--tracking-uri"],
    "ui": ["--port", "--tracking-uri"],
}


def test_every_command_explains_itself(dfkd):
    top = dfkd("--help")
    assert top.status == 0
    for name, options in COMMANDS.items():
        assert re.search(rf"^  {name} +\w", top.out, re.MULTILINE)
        own = dfkd(name, "--help")
        assert own.status == 0
        for option in options:
            assert re.search(rf"(^|\s){option}\b", own.out), (name, option)


LIGHT = """
import sys
from dfkd_tune.cli.main import main
for argv in (["--help"], ["study", "--help"], ["register", "--help"]):
    sys.argv = ["dfkd-tune", *argv]
    try:
        main()
    except SystemExit as end:
        assert not end.code
heavy = {"torch", "optuna", "mlflow", "numpy", "yaml", "pydantic", "rich"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_help_imports_nothing_heavy():
    ended = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_script_is_installed(tmp_path):
    script = Path(sys.executable).parent / "dfkd-tune"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert re.search(r"\d+\.\d+", ended.stdout)
    ended = subprocess.run([script, "show", "nothing"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("dfkd-tune: study 'nothing': cannot be looked up: there is no ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("no-such-command",),
        ("study", "--no-such-option"),
        ("study", "--n-trials", "0"),
        ("study", "--n-trials", "many"),
        ("study", "--seed", "-1"),
        ("register", "finished"),
        ("export", "finished", "--format", "docx", "--out", "x"),
        ("ui", "--port", "99999"),
        ("distill", "--teacher", "t.pt2", "--preset", "paper", "--recipe", "r.yaml", "--out", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart(dfkd, tmp_path, argv):
    ended = dfkd(*argv)
    assert ended.status == 2
    assert "Usage:" in ended.err
    assert "Traceback" not in ended.err
    assert files_of(tmp_path) == set()


@pytest.mark.parametrize(("pressed", "status", "said"), [(True, 130, "interrupted\n"), (False, 3, "a bug: ")])
def test_an_interrupt_that_a_library_loses_is_no_bug(interruptible, dfkd, monkeypatch, pressed, status, said):
    """NumPy and PyTorch do while they are imported, and fail later, as half a module is there."""

    def half_imported(*arguments: object):
        with suppress(BaseException):
            if pressed:
                signal.raise_signal(signal.SIGINT)
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("dfkd_tune.cli.commands.check.spec_of", half_imported)
    ended = dfkd("check")
    assert ended.status == status
    assert said in ended.err and ("bug" in ended.err) is not pressed
