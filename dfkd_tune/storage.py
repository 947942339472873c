"""Optuna's storages made safe, and the slots that make ``--n-trials`` exact.

A study owns N slots: trials created WAITING, numbered 0 to N-1. A worker claims one by moving it to RUNNING, which the
database grants to one worker alone; a slot whose worker died or was stopped goes back to WAITING with its parameters.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
import psutil
import sqlalchemy
from alembic.util import CommandError
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import event

from .errors import StorageError
from .places import absolute, sqlite_file, without_credentials, writable

HEARTBEAT = 60
"""Seconds between two signs of life of a running trial."""
GRACE = 180
"""Seconds without one after which its worker counts as dead."""
LOCK = 7216348
"""Advisory lock of PostgreSQL that is ours."""
PAUSE = 0.5
"""Seconds between two looks at a lock that is taken."""
ATTEMPTS = 3
"""How often a trial is taken up again before it fails for good."""


def open_storage(url: str) -> RDBStorage:
    """Open the study's state, made when missing.

    SQLite gets write-ahead logging, a 60 s busy timeout and immediate transactions: as shipped it hands one waiting trial to
    several processes.

    Raises:
        StorageError: when the database cannot be reached, or is no database.
    """
    shown, file = without_credentials(url), sqlite_file(url)
    options = {"connect_args": {"timeout": 60}} if file is not None else {"pool_pre_ping": True}
    try:
        with _making(file), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = RDBStorage(absolute(url), engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except ImportError as error:
        raise StorageError(
            shown, f"its database driver is missing ({error})", remedy="pip install 'dfkd-tune[postgresql]'"
        ) from None
    except CommandError:
        raise StorageError(shown, "is a database of another program", remedy="give Optuna its own") from None
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError, ValueError) as error:
        reason = without_credentials((str(error).splitlines() or ["unknown"])[0])
        raise StorageError(shown, f"cannot be opened: {reason}") from None
    if file is not None:
        event.listen(storage.engine, "connect", _configure)
        event.listen(storage.engine, "begin", _begin_immediate)
        storage.engine.dispose()
    return storage


def _configure(connection, record) -> None:
    connection.isolation_level = None  # leaves BEGIN to us
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=60000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _making(file) -> Iterator[None]:
    """One process at a time makes a fresh SQLite file."""
    if file is None:
        yield
        return
    writable(file.parent)
    with FileLock(f"{file}.lock"):
        yield


@contextmanager
def exclusive(storage: RDBStorage, url: str) -> Iterator[None]:
    """Hold the study store's one lock: while slots are made, nobody else makes any."""
    file = sqlite_file(url)
    if file is not None:
        with FileLock(f"{file}.lock"):
            yield
    elif storage.engine.dialect.name == "postgresql":
        with storage.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")
    else:
        yield


@contextmanager
def alone(storage: RDBStorage, url: str, study: optuna.Study, heed: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of one study, for minutes if need be: nobody else who looks at the store waits for it.

    Args:
        storage, url: of the study.
        study: whose lock it is.
        heed: called while another process holds it; may raise.
    """
    file, number = sqlite_file(url), int(study._study_id)
    if file is not None:
        lock = FileLock(f"{file}.{number}.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=PAUSE)
            except Timeout:
                heed()
        try:
            yield
        finally:
            lock.release()
    elif storage.engine.dialect.name == "postgresql":
        with storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK}, {number})").scalar():
                heed()
                time.sleep(PAUSE)
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK}, {number})")
    else:
        yield


def _trials(study: optuna.Study, storage: RDBStorage, *states: TrialState) -> list[FrozenTrial]:
    return storage.get_all_trials(study._study_id, deepcopy=False, states=states)


def make_slots(study: optuna.Study, storage: RDBStorage, total: int, leads: Sequence[dict[str, Any]] = ()) -> None:
    """Add waiting trials until the study has ``total``; call it under ``exclusive``.

    Args:
        study, storage: of the slots.
        total: trials of the study.
        leads: parameters of the first trials, which the sampler does not choose.
    """
    for number in range(storage.get_n_trials(study._study_id), total):
        fixed = {"fixed_params": leads[number]} if number < len(leads) else {}
        slot = create_trial(state=TrialState.WAITING, system_attrs=fixed)
        storage.create_new_trial(study._study_id, template_trial=slot)


def claim(study: optuna.Study, storage: RDBStorage, total: int) -> Trial | None:
    """Take the next free slot below ``total``; None when there is none."""
    for waiting in _trials(study, storage, TrialState.WAITING):
        if waiting.number >= total:
            continue
        try:
            storage.record_heartbeat(waiting._trial_id)  # first: a worker that dies next to the claim is found stale
            if storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING):
                storage.set_trial_user_attr(waiting._trial_id, "worker", whoami())
                return Trial(study, waiting._trial_id)
        except UpdateFinishedTrialError:
            continue
    return None


def give_back(storage: RDBStorage, trial: Trial | FrozenTrial) -> None:
    """Return a running trial's slot, its parameters kept, for this study to take up again."""
    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def requeue_dead(study: optuna.Study, storage: RDBStorage) -> list[int]:
    """Give back the slots of workers that died; after ``ATTEMPTS`` the trial fails with the reason. Returns trial numbers."""
    stale = set(storage._get_stale_trial_ids(study._study_id))
    requeued = []
    for trial in _trials(study, storage, TrialState.RUNNING):
        if not (trial._trial_id in stale or _is_dead(trial.user_attrs.get("worker", ""))):
            continue
        attempts = trial.user_attrs.get("attempts", 0)
        if attempts >= ATTEMPTS:
            storage.set_trial_user_attr(trial._trial_id, "reason", f"its worker died {attempts + 1} times")
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            continue
        storage.set_trial_user_attr(trial._trial_id, "attempts", attempts + 1)
        give_back(storage, trial)
        requeued.append(trial.number)
    return requeued


def whoami() -> str:
    """This process, told apart from a later one with its number: ``host/pid/start``."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def _is_dead(worker: str) -> bool:
    """Whether a worker of this host is gone; of another host nothing is known."""
    host, _, rest = worker.rpartition("/")[0].rpartition("/") if worker.count("/") >= 2 else ("", "", "")
    if host != socket.gethostname():
        return False
    pid, started = int(rest), worker.rpartition("/")[2]
    try:
        process = psutil.Process(pid)
        # A killed process whose parent never asks for its end stays a zombie; the clock may be set meanwhile.
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - float(started)) > 2
    except psutil.NoSuchProcess:
        return True


class Heartbeat:
    """Signs of life of this worker's running trials, from a thread, as Optuna gives them only inside ``optimize``."""

    def __init__(self, storage: RDBStorage):
        self._storage, self._stop, self._ids = storage, threading.Event(), set()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._thread.join()

    def watch(self, trial: Trial) -> None:
        self._ids.add(trial._trial_id)

    def forget(self, trial: Trial) -> None:
        self._ids.discard(trial._trial_id)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            for trial_id in tuple(self._ids):
                try:
                    self._storage.record_heartbeat(trial_id)
                except Exception as error:  # the next beat may reach the database again
                    optuna.logging.get_logger("dfkd_tune").warning("heartbeat not recorded: %s", type(error).__name__)
