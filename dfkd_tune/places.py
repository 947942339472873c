"""Where a study's state lives: ``mlruns/`` below the working directory, unless URLs say otherwise."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import StorageError

CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@|(?<=[?&]password=)[^&\s]*")


def home() -> Path:
    """``mlruns/`` of the working directory, made when missing.

    Raises:
        StorageError: when it cannot be made or written.
    """
    return writable(Path("mlruns").resolve())


def writable(directory: Path) -> Path:
    """A directory that exists and takes files.

    Raises:
        StorageError: otherwise.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(directory, f"cannot be made: {error.strerror}", remedy="choose another directory") from None
    probe = directory / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StorageError(directory, f"is not writable: {error.strerror}", remedy="choose another directory") from None
    return directory


def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for any other URL."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def optuna_url(given: str | None) -> str:
    """The URL of the study's state: as given, or ``mlruns/optuna.db``."""
    return _absolute(given) if given else sqlite_url(home() / "optuna.db")


def tracking_url(given: str | None) -> str:
    """The URL of MLflow: as given, or ``MLFLOW_TRACKING_URI``, or ``mlruns/mlflow.db``."""
    given = given or os.environ.get("MLFLOW_TRACKING_URI")
    return _absolute(given) if given else sqlite_url(home() / "mlflow.db")


def _absolute(url: str) -> str:
    file = sqlite_file(url)
    return sqlite_url(file.resolve()) if file is not None else url


def without_credentials(text: str) -> str:
    """A URL or message as it may be shown."""
    return CREDENTIALS.sub("", text)
