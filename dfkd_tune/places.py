"""Where a study's state lives: ``mlruns/`` below the working directory, unless URLs say otherwise."""

from __future__ import annotations

import hashlib
import os
import re
from importlib.util import find_spec
from pathlib import Path

from .errors import NotFound, StorageError

DATABASES = r"(?:postgres|mysql|mariadb|mssql|oracle)[\w+.-]*://"
WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|token|secret|signature|credentials?|auth|api[_-]?key|access[_-]?key(?:[_-]?id)?"
)
CREDENTIALS = re.compile(
    rf"(?P<database>{DATABASES})[^\s'\"]*@"  # a password there may hold a slash
    r"|(?<=://)[^/\s:@]*:(?!\d*(?:[/?#]|$))[^\s'\"]*@"  # and anywhere, where a port would be a number
    r"|(?<=://)[^/\s]*@"
    rf"|(?P<key>(?<![\w.-])[\w.-]*(?:{WORDS})|(?<=[?&;])(?:sig|key))=(?:'[^']*'|\"[^\"]*\"|[^&;#\s'\"]*)",
    re.IGNORECASE,
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""Of a study: also a folder's, whatever the system."""


def home() -> Path:
    """``mlruns/`` of the working directory; who writes there makes it."""
    return Path("mlruns").resolve()


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
    """The URL of an SQLite file."""
    return f"sqlite:///{file}"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for any other URL."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def optuna_url(given: str | None) -> str:
    """The URL of the study's state: as given, or ``mlruns/optuna.db``."""
    return absolute(given) if given else sqlite_url(home() / "optuna.db")


def tracking_url(given: str | None) -> str:
    """The URL of MLflow: as given, or ``MLFLOW_TRACKING_URI``, or ``mlruns/mlflow.db``."""
    given = given or os.environ.get("MLFLOW_TRACKING_URI")
    return absolute(given) if given else sqlite_url(home() / "mlflow.db")


def absolute(url: str) -> str:
    """A URL that means the same from any directory, and with any SQLAlchemy."""
    if url.startswith("postgresql://") and find_spec("psycopg2"):  # SQLAlchemy 2.1 would look for psycopg 3 alone
        return url.replace("://", "+psycopg2://", 1)
    file = sqlite_file(url)
    return sqlite_url(file.resolve()) if file is not None else url


def existing(url: str, what: str) -> str:
    """A URL to read from.

    Raises:
        NotFound: when it is a file that does not exist; looking makes none.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise NotFound(what, f"cannot be looked up: there is no {file}", remedy="go where it was run, or give its URL")
    return url


def without_credentials(text: str) -> str:
    """A URL or message as it may be shown."""
    return CREDENTIALS.sub(lambda found: found["database"] or (f"{found['key']}=" if found["key"] else ""), text)


def folder_name(name: str) -> str:
    """A folder for what is called so, which lies where it is put, whatever the name."""
    return name if NAME.fullmatch(name) else f"x-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def spool_folder(url: str, name: str) -> Path:
    """Where the records of a study lie until they are shipped: beside its SQLite file, or in ``mlruns/``."""
    file = sqlite_file(absolute(url))
    return (file.parent if file is not None else home()) / "spool" / folder_name(name)


def shared_folder(url: str, what: str) -> Path:
    """Where processes of this machine leave each other what a study may lose: beside its SQLite file, or in ``mlruns/``."""
    file = sqlite_file(absolute(url))
    return (file.parent if file is not None else home()) / what
