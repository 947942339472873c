"""Check SQLite files before they are opened, and copy read-only ones."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from dfkd_tune.errors import DfkdError
from dfkd_tune.locations.paths import for_reading_alone, sqlite_file, sqlite_url

Stamp = tuple[int, int]
"""Modification time of a file in nanoseconds, and its size in bytes."""
_COPIES: dict[tuple[Path, tuple[Stamp, ...]], tempfile.TemporaryDirectory[str]] = {}


def readable(url: str) -> str:
    """URL of a database for reading: of the database itself, or of a copy if SQLite cannot create files beside it."""
    file = sqlite_file(url)
    if file is None or not for_reading_alone(url):
        return url
    return sqlite_url(_copied(file))


def _stamps(file: Path) -> tuple[Stamp, ...]:
    """State of a file and its write-ahead log."""
    parts = (file, Path(f"{file}-wal"))
    return tuple((part.stat().st_mtime_ns, part.stat().st_size) for part in parts if part.exists())


def _copied(file: Path) -> Path:
    """Copy a file with its write-ahead log, once for each state of both."""
    log, stamps = Path(f"{file}-wal"), _stamps(file)
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
    except sqlite3.Error:  # no process has it open, so the file and its log are complete
        shutil.copyfile(file, copy)
        if log.exists():
            shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))


def check(url: str, kind: type[DfkdError], remedy: str, own: Callable[[set[str]], bool]) -> None:
    """Check that an SQLite file is intact and not another program's, if it exists. Nothing is written.

    Args:
        url: URL of the database.
        kind: error to raise.
        remedy: remedy for a damaged file.
        own: whether a database with these tables is of the right program; not called if there are none.

    Raises:
        kind: it is a directory, unreadable, damaged, or a database of another program.
    """
    file = sqlite_file(url)
    if file is None or not file.exists():
        return
    if file.is_dir():
        raise kind(file, "is a directory", remedy=f"write {sqlite_url(file / 'some.db')}")
    try:
        reason = _damage(file, _stamps(file), for_reading_alone(url))
    except OSError as error:
        raise kind(file, f"cannot be read: {error.strerror}", remedy="get permission to read it") from None
    if reason is not None:
        raise kind(file, f"is damaged: {reason}", remedy=remedy)
    if (tables := _tables(file)) and not own(tables):
        raise kind(file, "is a database of another program", remedy="give the address of another file")


@lru_cache(maxsize=8)
def _damage(file: Path, stamps: tuple[Stamp, ...], read_only: bool) -> str | None:
    """The damage of a file, looked for once in each state of the file."""
    return damage(_copied(file) if read_only else file)


def text_of(file: Path | None, query: str) -> str | None:
    """The first value that a query finds in an SQLite file; None without a file, or if it cannot be read now."""
    return None if file is None else next((value for (value,) in rows_of(file, query) or ()), None)


def rows_of(file: Path, query: str, *values: str) -> list[tuple[Any, ...]] | None:
    """The rows that a query with these values finds in an SQLite file; None if it cannot be read now."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return None


def _tables(file: Path) -> set[str]:
    """Names of the tables of a file; empty if they cannot be read now."""
    return {name for (name,) in rows_of(file, "SELECT name FROM sqlite_master WHERE type = 'table'") or ()}


def damage(file: Path) -> str | None:
    """Describe the damage of an SQLite file; None if it is intact, or cannot be checked now."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda said: said.decode(errors="replace")  # the result may quote damaged text
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return str(error)
    return None if found == "ok" else found.strip().splitlines()[-1]
