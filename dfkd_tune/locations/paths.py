"""Where a study's state lives: ``mlruns/`` below the working directory, unless URLs say otherwise."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dfkd_tune.errors import NotFound, StorageError, TrackingError
from dfkd_tune.locations.addresses import (
    MLFLOW,
    OPTUNA,
    arguments,
    file_of,
    moved,
    parse,
    refused_storage,
    refused_tracking,
    write,
)

ADDRESS = r"(?:postgres|mysql|mariadb|mssql|oracle)[\w+.-]*://"
WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|token|secret|signature|credentials?|auth|api[_-]?key|access[_-]?key(?:[_-]?id)?"
)
CREDENTIALS = re.compile(
    rf"(?P<database>{ADDRESS})[^\s'\"]*@"  # a password there may hold a slash
    r"|(?<=://)[^/\s:@]*:(?!\d*(?:[/?#]|$))[^\s'\"]*@"  # and anywhere, where a port would be a number
    r"|(?<=://)[^/\s]*@"
    rf"|(?P<key>(?<![\w.-])[\w.-]*(?:{WORDS})|(?<=[?&;])(?:sig|key))=(?:'[^']*'|\"[^\"]*\"|[^&;#\s'\"]*)",
    re.IGNORECASE,
)
DATABASES = {*OPTUNA, *MLFLOW}
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
    from sqlalchemy.engine import URL

    return write(URL.create("sqlite", database=str(file)))


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for any other URL."""
    file = file_of(parse(url))
    return None if file is None else file.resolve()


def optuna_url(given: str | None) -> str:
    """The URL of the study's state: as given, or ``mlruns/optuna.db``.

    Raises:
        StorageError: for an address where none can be kept, saying what to write.
    """
    if not given:
        return sqlite_url(home() / "optuna.db")
    if (refusal := refused_storage(given)) is not None:
        raise StorageError(without_credentials(given), refusal.rule, remedy=without_credentials(refusal.remedy))
    return absolute(given)


def tracking_url(given: str | None) -> str:
    """The URL of MLflow: as given, or ``MLFLOW_TRACKING_URI``, or ``mlruns/mlflow.db``.

    Raises:
        TrackingError: for an address where MLflow cannot be told, saying what to write.
    """
    said = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not said:
        return sqlite_url(home() / "mlflow.db")
    if (refusal := refused_tracking(said)) is not None:
        place = "" if given else "MLFLOW_TRACKING_URI="
        raise TrackingError(
            f"{place}{without_credentials(said)}", refusal.rule, remedy=without_credentials(refusal.remedy)
        )
    return absolute(said)


def absolute(url: str) -> str:
    """A URL that means the same from any directory."""
    read = parse(url)
    if read is None or read.get_backend_name() not in DATABASES:
        return url
    file = file_of(read)
    return write(read if file is None else moved(read, file.resolve()))


def store_of(url: str) -> str:
    """What tells a store from others, however its address is written: its file, or its address without credentials."""
    file = sqlite_file(url)
    return without_credentials(absolute(url)) if file is None else sqlite_url(file)


def for_reading_alone(url: str) -> bool:
    """Whether an SQLite database may be read but not written: its address says so, or its place does.

    SQLite makes files beside a database, so that its folder counts too.
    """
    read, file = parse(url), sqlite_file(url)
    if read is None or file is None or not file.exists():
        return False
    if {"ro"} & {*arguments(read, "mode")} or {"1"} & {*arguments(read, "immutable")}:
        return True
    return not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


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
    file = sqlite_file(url)
    return (file.parent if file is not None else home()) / "spool" / folder_name(name)


def shared_folder(url: str, what: str) -> Path:
    """Where processes of this machine leave each other what a study may lose: beside its SQLite file, or in ``mlruns/``."""
    file = sqlite_file(url)
    return (file.parent if file is not None else home()) / what
