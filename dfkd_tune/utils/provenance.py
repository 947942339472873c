"""Provenance of a run: versions of packages, and the git state of the working directory."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

from dfkd_tune.utils import plugins

PACKAGES = ("dfkd-tune", "torch", "optuna", "mlflow", "numpy", "scipy")
GIT_TIMEOUT_S = 5.0
"""Timeout of a git command, in seconds."""


def provenance() -> dict[str, str]:
    """Package versions as JSON under ``versions``, and the state of a git repository under ``git``."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
    found |= dict(package.rsplit(" ", 1) for package in plugins.installed())
    state = git_state(Path.cwd())
    return {"versions": json.dumps(found)} | ({"git": state} if state else {})


def git_state(folder: Path) -> str | None:
    """The commit of a folder's repository and whether tracked files have changed; None outside of a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit} with uncommitted changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    # The configuration of a repository may name a program that git runs to find changes; this disables it.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT_S)
    return done.stdout.strip()
