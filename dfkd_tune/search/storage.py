"""Optuna's RDB storage made robust: SQLite for several processes, and retries while a database is unavailable."""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import time
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any, TypeGuard, TypeVar

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.orm import Session

from dfkd_tune.compat import optuna as private
from dfkd_tune.compat.optuna import PARAMS, REPEATED, transaction, trial_row
from dfkd_tune.compat.optuna_tables import NEWEST, makes_known_tables
from dfkd_tune.errors import StorageError
from dfkd_tune.locations import sqlite_files
from dfkd_tune.locations.paths import for_reading_alone, optuna_url, sqlite_file, without_credentials
from dfkd_tune.search.locks import making
from dfkd_tune.search.sqlite.integrity import DAMAGED_REMEDY, require_intact

LOG = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT = 60
"""Seconds between two heartbeats of a running trial."""
GRACE = 180
"""Seconds without a heartbeat after which a worker counts as dead."""
OUTAGE_LIMIT_S = 3600.0
"""Longest time that a call waits for an unavailable database, in seconds."""
LONGEST_PAUSE = 5.0
"""Longest pause between two attempts, in seconds."""
BUSY = 60.0
"""Seconds that SQLite waits for another process, unless the URL sets ``timeout``."""
PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
"""Results of SQLite that other processes cause; the last one if very many open a file at once."""
VERSION = "SELECT version_num FROM alembic_version"
"""Query for the version of the tables in a database."""


SetParam = tuple[int, str, float, str]
"""ID of a trial, then name, value and distribution of a parameter: a row of the database."""


class PatientStorage(RDBStorage):
    """Optuna's RDB storage, whose calls are retried with backoff while the database is unavailable."""

    last_away = -float("inf")
    """Time by ``time.monotonic`` at which a call last found the database unavailable."""

    _still, _seen = False, False
    _read = -float("inf")
    _params: tuple[SetParam, ...] = ()

    @contextmanager
    def cached_reads(self, lag: float = 0.0) -> Iterator[None]:
        """Inside the block, read trials once, and again after ``invalidate``; write parameters together at its end.

        A read takes time for every unfinished trial, and every single parameter would cost a transaction.

        Args:
            lag: seconds that a read before the block may be old, unless this process has changed a trial since.
        """
        self._seen = self._seen and time.monotonic() - self._read < lag
        self._still, self._params = True, ()
        try:
            yield
            if self._params:
                self.transact(self._write_params)
        finally:
            self._still = False

    def invalidate(self) -> None:
        """Read trials again, because this process changed one."""
        self._seen = False

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        known = (trial_id, param_name, param_value_internal, distribution, previous_distribution)
        if not self._still:
            return self.retry_until_available(lambda: super(PatientStorage, self)._set_trial_param(*known))
        if previous_distribution is not None:
            check_distribution_compatibility(previous_distribution, distribution)
        self._params += ((trial_id, param_name, param_value_internal, distribution_to_json(distribution)),)

    def _write_params(self, session: Session) -> None:
        for trial in {trial for trial, *_ in self._params}:
            self.check_trial_is_updatable(trial, trial_row(session, trial).state)
        written = {
            (trial, name)
            for trial, name in session.query(PARAMS.trial_id, PARAMS.param_name).filter(
                PARAMS.trial_id.in_({trial for trial, *_ in self._params})
            )
        }
        columns = ("trial_id", "param_name", "param_value", "distribution_json")
        rows: list[dict[str, Any]] = [
            dict(zip(columns, each, strict=True)) for each in self._params if each[:2] not in written
        ]
        if rows:
            session.execute(sqlalchemy.insert(PARAMS), rows)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        of_cache = bool(included_trial_ids) or trial_id_greater_than > -1
        if self._still and self._seen and of_cache:
            return []  # nothing new since Optuna's cache last read
        wanted = (study_id, states, included_trial_ids, trial_id_greater_than)
        found = self.transact(lambda session: private.read_trials(session, *wanted))
        self._seen, self._read = True, time.monotonic()
        return found

    def note(self, study: optuna.Study, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a study in one transaction, so that none is seen without the others."""
        self.transact(lambda session: private.write_study_user_attributes(session, study, attributes))

    def transact(self, work: Callable[[Session], T], patient: bool = True) -> T:
        """Run a function in one transaction.

        Args:
            work: session -> result; it may run twice, so it must detect what a first run has committed.
            patient: whether to wait for an unavailable database.
        """

        def once() -> T:
            with transaction(self) as session:
                return work(session)

        return self.retry_until_available(once) if patient else once()

    def retry_until_available(self, call: Callable[[], T]) -> T:
        """Make a call, and repeat it while the database is unavailable.

        Raises:
            StorageError: the database is unavailable for ``OUTAGE_LIMIT_S``, is damaged, or cannot be used for another
                reason.
        """
        shown, pause, until = without_credentials(self.url), 0.1, None
        while True:
            try:
                done = call()
            except (json.JSONDecodeError, UnicodeDecodeError) as error:  # Optuna writes nothing that cannot be decoded
                raise StorageError(shown, f"is damaged: {error}", remedy=DAMAGED_REMEDY) from None
            except LookupError as error:
                if type(error) is not LookupError:  # SQLAlchemy raises a plain one for an unknown trial state
                    raise
                raise StorageError(shown, f"is damaged: {error}", remedy=DAMAGED_REMEDY) from None
            except (StorageInternalError, SQLAlchemyError) as error:
                cause = error.__cause__ if isinstance(error, StorageInternalError) else error
                if not _is_trouble(cause):
                    raise
                reason = without_credentials((str(getattr(cause, "orig", cause)).strip().splitlines() or ["?"])[0])
                if _is_damage(cause):
                    raise StorageError(shown, f"is damaged: {reason}", remedy=DAMAGED_REMEDY) from None
                if not _is_away(cause, self.engine.dialect.name):
                    raise StorageError(shown, f"cannot be used: {reason}", remedy="fix that, and run again") from None
                self.last_away = now = time.monotonic()
                if until is None:
                    until = now + OUTAGE_LIMIT_S
                    LOG.warning(
                        "%s does not answer (%s); waiting for it, %.0f minutes at most",
                        shown,
                        reason,
                        OUTAGE_LIMIT_S / 60,
                    )
                if now > until:
                    raise StorageError(
                        shown, f"has not answered for {OUTAGE_LIMIT_S / 60:.0f} minutes: {reason}"
                    ) from None
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if until is not None:
                    LOG.warning("%s answers again", shown)
                return done


def _is_trouble(error: BaseException | None) -> TypeGuard[SQLAlchemyError]:
    """Whether the state of the database caused an error, not the statement."""
    if isinstance(error, PendingRollbackError):  # Optuna continues in a transaction that failed
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError | InterfaceError) or _is_damage(error)
    )


def _is_damage(error: BaseException | None) -> bool:
    """Whether an error comes from a damaged SQLite file."""
    said = str(getattr(error, "orig", ""))
    return any(words in said for words in ("malformed", "not a database", "Could not decode to UTF-8"))


def _is_away(error: SQLAlchemyError, dialect: str) -> bool:
    """Whether a database may become available again by itself; with a full disk it does not."""
    original = getattr(error, "orig", None)
    if dialect == "sqlite":
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in PASSING
    return getattr(original, "pgcode", None) != "53100"  # disk_full


def _patient(call: Callable[..., T]) -> Callable[..., T]:
    @wraps(call)
    def waiting(self: PatientStorage, *arguments: Any, **named: Any) -> T:
        return self.retry_until_available(lambda: call(self, *arguments, **named))

    return waiting


for _name in (  # idempotent calls
    "create_new_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "get_trial_id_from_study_id_trial_number",
    "get_trial",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    *REPEATED,
):
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))


def open_storage(url: str) -> PatientStorage:
    """Open a storage; its database is created if it is missing.

    SQLite gets write-ahead logging, a 60 s busy timeout and immediate transactions. By default, several processes could
    claim the same waiting trial.

    Raises:
        StorageError: the database cannot be created, reached or written, is damaged, or belongs to another program.
    """
    url = optuna_url(url)
    shown, file = without_credentials(url), sqlite_file(url)
    # Keep one connection and close others after use: a server accepts about a hundred, and there may be many workers.
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 1}
    if file is not None:
        require_intact(url)
        if for_reading_alone(url):
            raise StorageError(file, "cannot be written", remedy="change its permissions, or give another --storage")
        options = {"connect_args": {"timeout": _busy(url)}}
    try:
        known = makes_known_tables() and sqlite_files.text_of(file, VERSION) == NEWEST
        with making(url, file), warnings.catch_warnings(), private.with_known_tables() if known else nullcontext():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = PatientStorage(url, options, True, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
            if storage.get_current_version() != private.newest_version(storage):
                RDBStorage(url, options)  # raises, and says what to do
    except (ImportError, SQLAlchemyError, RuntimeError, ValueError) as error:
        reason = without_credentials((str(error).splitlines() or ["unknown"])[0])
        raise StorageError(shown, f"cannot be opened: {reason}") from None
    except Exception as error:
        from alembic.util import CommandError  # only now, as its import takes as long as Optuna's

        if not isinstance(error, CommandError):
            raise
        raise StorageError(shown, "is a database of another program", remedy="give Optuna its own") from None
    if file is not None:
        event.listen(storage.engine, "connect", lambda connection, record: _configure(connection, _busy(url)))
        event.listen(storage.engine, "begin", _begin_immediate)
        storage.engine.dispose()
    return storage


def _busy(url: str) -> float:
    """Seconds that SQLite waits for another process."""
    given = make_url(url).query.get("timeout")
    return BUSY if given is None else float(given if isinstance(given, str) else given[-1])


def _configure(connection: sqlite3.Connection, busy: float) -> None:
    connection.isolation_level = None  # so that sqlite3 does not issue BEGIN
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={1000 * busy:.0f}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
