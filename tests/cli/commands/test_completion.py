"""``completion``: a shell completes commands and names of studies."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def completed(*words: str, storage: str | None = None) -> list[str]:
    """What bash is offered for the last word."""
    given = ["--storage", storage] if storage else []
    line = ["dfkd-tune", words[0], *given, *words[1:]]
    asked = {"_DFKD_TUNE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
    code = "import sys; sys.argv[0] = 'dfkd-tune'; from dfkd_tune.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_shell_completes_commands_and_studies(dfkd, store, finished):
    for shell in ("zsh", "fish"):
        ended = dfkd("completion", shell)
        assert ended.status == 0 and "_DFKD_TUNE_COMPLETE" in ended.out
    assert completed("rep") == ["report"]
    assert completed("show", "finish", storage=store.storage) == ["finished"]
    assert completed("show", "finish", storage="sqlite:///nowhere.db") == []
