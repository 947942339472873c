"""Locations of a study's state: ``mlruns/`` in the working directory by default, or the given URLs."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dfkd_tune.errors import DfkdError, NotFound, StorageError, TrackingError
from dfkd_tune.locations.addresses import (
    MLFLOW,
    OPTUNA,
    arguments,
    file_of,
    moved,
    parse,
    plain_file,
    refused_storage,
    refused_tracking,
    sqlite_url,
    write,
)
from dfkd_tune.locations.files import MAKE_FOLDER, missing_folder

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
"""Valid names of a study; each is also a valid folder name on every system."""


def home() -> Path:
    """Path of ``mlruns/`` in the working directory; it may not exist yet."""
    return Path("mlruns").resolve()


def writable(directory: Path) -> Path:
    """Create a directory if necessary, check that it is writable, and return it.

    Raises:
        StorageError: it cannot be created or written.
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


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for any other URL."""
    file = plain_file(url) or file_of(parse(url))
    return None if file is None else file.resolve()


def optuna_url(given: str | None) -> str:
    """URL of the Optuna storage: the given one, or ``mlruns/optuna.db``.

    Raises:
        StorageError: the URL cannot be used; the message says what to write instead.
    """
    if not given:
        return sqlite_url(home() / "optuna.db")
    if (refusal := refused_storage(given)) is not None:
        raise StorageError(without_credentials(given), refusal.rule, remedy=without_credentials(refusal.remedy))
    _require_folder(given, given, StorageError)
    return absolute(given)


def tracking_url(given: str | None) -> str:
    """MLflow tracking URI: the given one, or ``MLFLOW_TRACKING_URI``, or ``mlruns/mlflow.db``.

    Raises:
        TrackingError: the URI cannot be used; the message says what to write instead.
    """
    said = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not said:
        return sqlite_url(home() / "mlflow.db")
    place = f"{'' if given else 'MLFLOW_TRACKING_URI='}{without_credentials(said)}"
    if (refusal := refused_tracking(said)) is not None:
        raise TrackingError(place, refusal.rule, remedy=without_credentials(refusal.remedy))
    _require_folder(said, place, TrackingError)
    return absolute(said)


def _require_folder(url: str, place: str, kind: type[DfkdError]) -> None:
    """Check that the folder of an SQLite URL exists. Only ``home()`` is made: another that is missing may be misspelled.

    Raises:
        kind: it does not exist.
    """
    file = sqlite_file(url)
    if file is not None and file.parent != home() and not file.parent.is_dir():
        raise kind(place, missing_folder(file.parent), remedy=MAKE_FOLDER)


def absolute(url: str) -> str:
    """Make the path in a URL absolute."""
    if (plain := plain_file(url)) is not None:
        return sqlite_url(plain.resolve())
    read = parse(url)
    if read is None or read.get_backend_name() not in DATABASES:
        return url
    file = file_of(read)
    return write(read if file is None else moved(read, file.resolve()))


def store_of(url: str) -> str:
    """Canonical URL of a storage: with the absolute path of its file, or without credentials."""
    file = sqlite_file(url)
    return without_credentials(absolute(url)) if file is None else sqlite_url(file)


def for_reading_alone(url: str) -> bool:
    """Whether an SQLite database is read-only, by its URL or by the permissions of its file and folder.

    The folder counts because SQLite creates files beside a database.
    """
    file = sqlite_file(url)
    if file is None or not file.exists():
        return False
    read = None if plain_file(url) else parse(url)
    if read is not None and ({"ro"} & {*arguments(read, "mode")} or {"1"} & {*arguments(read, "immutable")}):
        return True
    return not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def existing(url: str, what: str) -> str:
    """Check that the file of an SQLite URL exists, without creating it, and return the URL.

    Raises:
        NotFound: the file does not exist.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise NotFound(what, f"cannot be looked up: there is no {file}", remedy="go where it was run, or give its URL")
    return url


def without_credentials(text: str) -> str:
    """Remove credentials from a URL or message."""
    return CREDENTIALS.sub(lambda found: found["database"] or (f"{found['key']}=" if found["key"] else ""), text)


def folder_name(name: str) -> str:
    """A safe folder name for any name: the name itself if it is valid, else a hash."""
    return name if NAME.fullmatch(name) else f"x-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def spool_folder(url: str, name: str) -> Path:
    """Folder of a study's records until they are uploaded: beside its SQLite file, or in ``mlruns/``."""
    file = sqlite_file(url)
    return (file.parent if file is not None else home()) / "spool" / folder_name(name)


def shared_folder(url: str, what: str) -> Path:
    """Folder of a cache that the processes of this machine share: beside the SQLite file, or in ``mlruns/``."""
    file = sqlite_file(url)
    return (file.parent if file is not None else home()) / what
