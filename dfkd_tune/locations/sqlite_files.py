"""SQLite files before they are opened: whether one is whole, and a copy of one that nothing may be written beside."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from dfkd_tune.errors import DfkdError
from dfkd_tune.locations.paths import for_reading_alone, sqlite_file, sqlite_url

Stamp = tuple[int, int]
"""When a file was changed last, in nanoseconds, and its bytes."""
_COPIES: dict[tuple[Path, tuple[Stamp, ...]], tempfile.TemporaryDirectory[str]] = {}


def readable(url: str) -> str:
    """The URL of a database to read: its own, or that of a copy where SQLite could not make its files beside it."""
    file = sqlite_file(url)
    if file is None or not for_reading_alone(url):
        return url
    return sqlite_url(_copied(file))


def _copied(file: Path) -> Path:
    """A copy of a file and its log, made once for each state of theirs."""
    log = Path(f"{file}-wal")
    stamps = tuple((part.stat().st_mtime_ns, part.stat().st_size) for part in (file, log) if part.exists())
    if (file, stamps) not in _COPIES:
        folder = tempfile.TemporaryDirectory(prefix="dfkd-tune-")
        _copy(file, log, Path(folder.name) / file.name)
        _COPIES[file, stamps] = folder
    return Path(_COPIES[file, stamps].name) / file.name


def _copy(file: Path, log: Path, copy: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as there,
            closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
    except sqlite3.Error:  # nobody has it open: what is not in the file lies in its log
        shutil.copyfile(file, copy)
        if log.exists():
            shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))


def check(url: str, kind: type[DfkdError], remedy: str) -> None:
    """Make sure that an SQLite file is whole, if it is there.

    Raises:
        kind: when it is not, with the remedy.
    """
    file = sqlite_file(url)
    if file is None or not file.exists():
        return
    if file.is_dir():
        raise kind(file, "is a directory", remedy=f"write {sqlite_url(file / 'some.db')}")
    try:
        reason = damage(_copied(file) if for_reading_alone(url) else file)
    except OSError as error:
        raise kind(file, f"cannot be read: {error.strerror}", remedy="ask its owner for leave to read it") from None
    if reason is not None:
        raise kind(file, f"is damaged: {reason}", remedy=remedy)


def damage(file: Path) -> str | None:
    """What is wrong with an SQLite file; None where it is whole, or cannot be looked at now."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda said: said.decode(errors="replace")  # it may quote what is broken
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return str(error)
    return None if found == "ok" else found.strip().splitlines()[-1]
