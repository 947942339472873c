"""What made a run: versions of what it was computed with, and the state of the code in the working directory."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

from dfkd_tune.utils import plugins

PACKAGES = ("dfkd-tune", "torch", "optuna", "mlflow", "numpy", "scipy")
GIT_TIMEOUT_S = 5.0
"""Seconds that git may take."""


def provenance() -> dict[str, str]:
    """What a run is made with: ``versions`` as JSON, and in a git repository its state as ``git``."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
    found |= dict(package.rsplit(" ", 1) for package in plugins.installed())
    state = git_state(Path.cwd())
    return {"versions": json.dumps(found)} | ({"git": state} if state else {})


def git_state(folder: Path) -> str | None:
    """The commit that a folder is at, and whether tracked files were changed since; None outside of a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit} with uncommitted changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    # A repository may name programs for git to run while it looks for changes; it is asked for its state alone.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT_S)
    return done.stdout.strip()
