"""Commands that only look at a study answer without PyTorch, whose import takes seconds."""

import os
import subprocess
import sys

import pytest
from processes import free_port

LOOK = """
import os, sys
from dfkd_tune.cli.main import main
os.execve = lambda *given: None  # ``ui`` becomes a server
sys.argv = ["dfkd-tune", *sys.argv[1:]]
status = 0
try:
    main()
except SystemExit as end:
    status = end.code or 0
heavy = {"torch", "matplotlib", "sklearn"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else status)
"""
NAMES = {"_DFKD_TUNE_COMPLETE": "bash_complete", "COMP_WORDS": "dfkd-tune show fin", "COMP_CWORD": "2"}
"""What a shell asks with for names of studies."""


def look(store, *argv: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", LOOK, *argv],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=store.home,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("more", [[], ["--json"], ["--rows", "2"]], ids=" ".join)
def test_show(store, finished, more):
    assert "generator" in look(store, "show", "finished", *store.options[:2], *more)


def test_show_before_a_study_has_ended(store, tiny):
    """Without a trial, a baseline or a promoted student."""
    from dfkd_tune.study.session import open_slots

    open_slots(tiny("unbegun"), store.storage, store.tracking)
    assert "No trial of unbegun is complete" in look(store, "show", "unbegun", *store.options[:2])


def test_sync_of_a_whole_study(store, finished):
    assert "nothing was missing" in look(store, "sync", "finished", *store.options)


def test_ui(store, finished):
    told = look(store, "ui", "--port", str(free_port()), *store.options[2:])
    assert "mlflow ui" in told


def test_completion(store, finished):
    assert "_dfkd_tune_completion" in look(store, "completion", "bash")
    assert "finished" in look(store, **NAMES)


def test_a_command_that_distills_would_be_told(store, small_teacher):
    """The check itself: what needs PyTorch fails it."""
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"], "--out", "made"]
    with pytest.raises(AssertionError, match=r"imported .*torch"):
        look(store, "distill", *given, "--preset", "none")
