"""Locks of a study: files beside an SQLite database, or PostgreSQL advisory locks. A dying process releases them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import optuna
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from dfkd_tune.compat.optuna import study_id
from dfkd_tune.locations.paths import sqlite_file, without_credentials, writable
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.utils.waits import telling

LOG = logging.getLogger(__name__)
T = TypeVar("T")

LOCK = 7216348
"""Number of this program's advisory lock in PostgreSQL; the locks of a study have the numbers from here on."""
MAKING = LOCK - 1
"""Number of the advisory lock for the creation of tables."""
ROUND = "round"
"""Purpose of the lock of a process that asks for the trials of a round."""
ASKING = "rows"
"""Purpose of the lock of a process that asks the teacher for the rows of all trials."""
PURPOSES = ("rerun", "baseline", ROUND, ASKING)
"""Tasks that only one process of a study may do at a time; the re-runs themselves have a lock for each part."""
PAUSE = 0.5
"""Seconds between two attempts to take a lock."""
WAITING = "waiting until another process has set its study up in %s"


class PatientDatabase(Protocol):
    """A storage that waits for an unavailable database."""

    engine: sqlalchemy.Engine

    def retry_until_available(self, call: Callable[[], T]) -> T:
        """Repeat a call until the database is available, and return its result."""
        ...


@contextmanager
def making(url: str, file: Path | None) -> Iterator[None]:
    """Hold the lock for the creation of a storage's tables."""
    if file is not None:
        writable(file.parent)
        with _locked(file):
            yield
    elif make_url(url).get_backend_name() == "postgresql":
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            _advisory(connection, MAKING, url)
            yield  # closing the connection releases the lock
    else:
        yield


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock beside an SQLite file."""
    lock = FileLock(f"{file}.lock")
    with telling(LOG, WAITING, file):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _advisory(connection: sqlalchemy.Connection, number: int, url: str) -> None:
    """Wait for an advisory lock of PostgreSQL."""
    with telling(LOG, WAITING, without_credentials(url)):
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({number})")


@contextmanager
def exclusive(storage: RDBStorage, url: str) -> Iterator[None]:
    """Hold the lock of the whole storage, so that only one study is set up at a time."""
    file = sqlite_file(url)
    if file is not None:
        with _locked(file):
            yield
    elif storage.engine.dialect.name == "postgresql":
        with storage.engine.connect() as connection:
            _advisory(connection, LOCK, url)
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")
    else:
        yield


class StudyLock:
    """A lock of one study for one purpose; a process that dies releases it.

    Args:
        storage, url: the study's storage and its URL.
        study: the study to lock.
        purpose: one of ``PURPOSES``, or the number of a part of the re-runs; each is locked independently.
    """

    def __init__(
        self, storage: PatientDatabase, url: str, study: optuna.Study, purpose: str | int = PURPOSES[0]
    ) -> None:
        file, number = sqlite_file(url), study_id(study)
        order = len(PURPOSES) + purpose if isinstance(purpose, int) else PURPOSES.index(purpose)
        self._storage, self._numbers = storage, f"{LOCK + order}, {number}"
        part = "" if purpose == PURPOSES[0] else f".{purpose}"
        self._file = FileLock(f"{file}.{number}{part}.lock") if file is not None else None
        self._connection: sqlalchemy.Connection | None = None
        self._shares = False

    def acquire(self, shared: sqlalchemy.Connection | None = None) -> bool:
        """Try to take the lock without waiting; returns whether it was free.

        Args:
            shared: connection to PostgreSQL, with autocommit, that holds several locks; None to open one for this lock.
        """
        if self._file is not None:
            try:
                self._file.acquire(timeout=0)
            except Timeout:
                return False
            return True
        return self._storage.engine.dialect.name != "postgresql" or self._storage.retry_until_available(
            lambda: self._acquire(shared)
        )

    def wait(self, check_cancelled: Callable[[], None]) -> None:
        """Take the lock; ``check_cancelled`` is called while another process holds it, and may raise to cancel."""
        while not self.acquire():
            check_cancelled()
            time.sleep(PAUSE)

    def _acquire(self, shared: sqlalchemy.Connection | None) -> bool:
        connection = _autocommit(self._storage) if shared is None else shared
        if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({self._numbers})").scalar():
            self._connection, self._shares = connection, shared is not None
            return True
        if shared is None:
            connection.close()
        return False

    def release(self) -> None:
        """Release the lock; a restart of the database has already released it."""
        if self._file is not None:
            self._file.release()
        elif self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({self._numbers})")
                if not self._shares:
                    self._connection.close()
            self._connection = None


def part_locks(storage: PatientDatabase, url: str, study: optuna.Study) -> list[StudyLock]:
    """The lock of each part of the re-runs; nobody runs one if all are free."""
    return [StudyLock(storage, url, study, part) for part in range(StudyRecord.of(study).parts or 0)]


def study_locks(storage: PatientDatabase, url: str, study: optuna.Study) -> list[StudyLock]:
    """Every lock of a study; nobody works on it if all are free."""
    own = [StudyLock(storage, url, study, purpose) for purpose in PURPOSES]
    return own + part_locks(storage, url, study)


@contextmanager
def as_many_as_are_free(storage: PatientDatabase, locks: Sequence[StudyLock]) -> Iterator[bool]:
    """Hold those of the locks that are free, by one connection; gives whether all are."""
    postgresql = storage.engine.dialect.name == "postgresql"
    with _autocommit(storage) if postgresql else nullcontext() as connection:
        held = [lock for lock in locks if lock.acquire(connection)]
        try:
            yield len(held) == len(locks)
        finally:
            for lock in held:
                lock.release()


def _autocommit(storage: PatientDatabase) -> sqlalchemy.Connection:
    """A new connection without transactions."""
    return storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def rerun_lock(
    storage: PatientDatabase,
    url: str,
    study: optuna.Study,
    check_cancelled: Callable[[], None],
) -> Iterator[None]:
    """Hold a study's lock for its re-runs. It may be held for minutes, because it blocks nothing else in the storage.

    Args:
        storage, url: the study's storage and its URL.
        study: the study to lock.
        check_cancelled: called while another process holds the lock; may raise to cancel.
    """
    lock = StudyLock(storage, url, study)
    lock.wait(check_cancelled)
    try:
        yield
    finally:
        lock.release()
