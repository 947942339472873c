"""The queue of trials, which makes ``--n-trials`` exact for any number of workers.

A study has N trials, numbered 0 to N-1, which are created in the state WAITING a few at a time. A worker claims a trial
by setting it to RUNNING with the worker's name, in one transaction. It can finish the trial only while the trial still
has that name. A trial whose worker died or was stopped returns to WAITING with its parameters.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
import psutil
import sqlalchemy
from optuna.trial import Trial, TrialState
from sqlalchemy.orm import Session

from dfkd_tune.compat import optuna as private
from dfkd_tune.compat.optuna import HEARTBEATS, TRIALS
from dfkd_tune.compat.optuna import USER_ATTRIBUTES as ATTRIBUTES
from dfkd_tune.search.attributes import ATTEMPTS, REASON, WORKER
from dfkd_tune.search.storage import GRACE, HEARTBEAT, PatientStorage

LOG = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often a trial of a dead worker is queued again before it fails."""
AHEAD = 16
"""Trials created at once. Every read of a study reads waiting ones: 16 take half the time of 64, fewer save nothing."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Claim:
    """A trial that this worker claimed.

    Args:
        trial: the Optuna trial.
        again: whether another worker had begun it.
    """

    trial: Trial
    again: bool


@dataclass(frozen=True)
class Requeued:
    """A trial taken from a dead worker.

    Args:
        number: number of the trial.
        failed: why it is not queued again; None if it is.
    """

    number: int
    failed: str | None = None


class TrialQueue:
    """The trial queue of a study, for one worker.

    Args:
        study, storage: the study and its storage.
        initial_points: parameters of the first trials, which the sampler does not choose.
    """

    def __init__(
        self, study: optuna.Study, storage: PatientStorage, initial_points: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.study, self.storage, self.initial_points = study, storage, initial_points
        self.owner = f"{whoami()}/{uuid.uuid4().hex[:8]}"

    def claim(self, total: int) -> Claim | None:
        """Claim the next waiting trial below number ``total``; None if there is none."""
        while True:
            found = self.storage.transact(lambda session: self._take(session, total))
            if found is not None:
                private.forget_cached_trials(self.study)
                self.study.get_trials(deepcopy=False)  # Optuna's cache refuses parameters of an unread trial
                return Claim(Trial(self.study, found[0]), found[1])
            if not self.make(total):
                return None

    def make(self, total: int) -> int:
        """Create waiting trials if there are none, up to ``total`` trials; returns the number of waiting ones."""
        return self.storage.transact(lambda session: self._make(session, total))

    def lost(self, trials: Collection[Trial]) -> set[int]:
        """Numbers of the given trials that no longer belong to this worker."""

        def look(session: Session) -> set[int]:
            mine = session.query(TRIALS.number).filter(
                TRIALS.trial_id.in_(private.trial_ids(trials)),
                TRIALS.state == TrialState.RUNNING,
                TRIALS.trial_id == ATTRIBUTES.trial_id,
                ATTRIBUTES.key == WORKER,
                ATTRIBUTES.value_json == json.dumps(self.owner),
            )
            return {trial.number for trial in trials} - {number for (number,) in mine}

        return self.storage.transact(look) if trials else set()

    def complete(
        self,
        trial: Trial,
        state: TrialState,
        values: Sequence[float],
        attributes: Mapping[str, Any],
        constraints: Mapping[str, float] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Finish a trial; returns whether it still belonged to this worker.

        Args:
            trial: the trial to finish.
            state: COMPLETE, PRUNED or FAIL.
            values: objectives of a complete trial, else empty. A pruned trial gets its last report, unless that is NaN.
            attributes: user attributes to add.
            constraints: Optuna's constraints by name, at most 0 if they are satisfied.
            notes: system attributes to add, which a pruner made.
        """
        limits = {f"{private.CONSTRAINT}{name}": value for name, value in (constraints or {}).items()}
        limits |= notes or {}

        def write(session: Session) -> bool:
            row = private.trial_row(session, private.trial_id(trial), for_update=True)
            if self.owner_of(session, row.trial_id) != self.owner:
                return False
            if row.state != TrialState.RUNNING:
                return row.state == state  # an earlier run of this transaction ended it
            self.set(session, row.trial_id, attributes)
            self.set(session, row.trial_id, limits, private.SYSTEM_ATTRIBUTES)
            for i, final in enumerate(_last_report(row) if state == TrialState.PRUNED else values):
                private.set_trial_value(self.storage, session, row, i, float(final))
            row.state, row.datetime_complete = state, datetime.now()
            return True

        self.storage.invalidate()
        return self.storage.transact(write)

    def report(self, values: Mapping[Trial, tuple[int, float]]) -> None:
        """Record the next intermediate value of trials, ``(step, value)``, in one transaction."""

        reports = {private.trial_id(trial): report for trial, report in values.items()}
        if reports:
            self.storage.transact(lambda session: private.write_reports(self.storage, session, reports))
        for trial, (step, value) in values.items():
            private.note_report(trial, step, value)

    def give_back(self) -> None:
        """Return every trial of this worker to the queue with its parameters, for any worker to claim."""

        def write(session: Session) -> None:
            mine = (
                session.query(TRIALS)
                .join(ATTRIBUTES, ATTRIBUTES.trial_id == TRIALS.trial_id)
                .filter(
                    TRIALS.study_id == private.study_id(self.study),
                    TRIALS.state == TrialState.RUNNING,
                    ATTRIBUTES.key == WORKER,
                    ATTRIBUTES.value_json == json.dumps(self.owner),
                )
                .order_by(TRIALS.number)
                .with_for_update(of=TRIALS)
            )
            for row in mine:
                row.state = TrialState.WAITING

        self.storage.transact(write)

    def requeue_stale(self) -> list[Requeued]:
        """Queue the trials of other workers that are dead again; after ``MOST_ATTEMPTS`` a trial fails instead."""
        # Right after an outage no worker's heartbeat is recent.
        calm = time.monotonic() - self.storage.last_away > GRACE / 2
        stale = private.stale_trial_ids(self.storage, self.study) if calm else set()
        running = self.storage.transact(self._running)
        # A machine that was suspended has late heartbeats of its own.
        dead = [(i, owner) for i, owner in running if owner != self.owner and (i in stale or _is_dead(owner))]
        taken = [self.storage.transact(lambda session, d=each: self._requeue(session, *d)) for each in dead]
        return [each for each in taken if each is not None]

    def owners(self) -> set[str]:
        """Other workers that run trials and are alive."""
        stale = private.stale_trial_ids(self.storage, self.study)
        running = self.storage.transact(self._running)
        return {owner for i, owner in running if i not in stale and not _is_dead(owner)} - {self.owner}

    def unfinished(self, total: int) -> int:
        """Number of trials below ``total`` that have not ended."""
        ended = self.storage.transact(
            lambda session: (
                session.query(sqlalchemy.func.count(TRIALS.trial_id))
                .filter(
                    TRIALS.study_id == private.study_id(self.study), TRIALS.number < total, TRIALS.state.in_(FINISHED)
                )
                .scalar()
            )
        )
        return total - ended

    def held(self, total: int) -> str:
        """Say what a worker without a trial waits for."""
        left, machines = self.unfinished(total), sorted({host_of(owner) for owner in self.owners()})
        if not left:
            return "the untuned baseline, which another worker runs"
        where = f" on {', '.join(machines)}" if machines else ""
        return (
            f"{left} trials of other workers{where}, or {GRACE / 60:.0f} minutes after the last heartbeat of a dead one"
        )

    def beat(self, trials: Collection[int]) -> None:
        """Record a heartbeat for trials, given by their IDs; raises at once if the database is unavailable."""
        now: dict[Any, object] = {HEARTBEATS.heartbeat: sqlalchemy.func.now()}
        self.storage.transact(
            lambda session: (
                session.query(HEARTBEATS).filter(HEARTBEATS.trial_id.in_(trials)).update(now, synchronize_session=False)
            ),
            patient=False,
        )

    def _take(self, session: Session, total: int) -> tuple[int, bool] | None:
        row = (
            session.query(TRIALS)
            .filter(
                TRIALS.study_id == private.study_id(self.study),
                TRIALS.state == TrialState.WAITING,
                TRIALS.number < total,
            )
            .order_by(TRIALS.number)
            .limit(1)
            .with_for_update(skip_locked=True)
            .one_or_none()
        )
        return None if row is None else self.start(session, row)

    def start(self, session: Session, row: private.TrialRow) -> tuple[int, bool]:
        """Make a waiting trial this worker's, in the current transaction; its ID, and whether another had begun it."""
        again = bool(self.owner_of(session, row.trial_id))
        row.state, row.datetime_start = TrialState.RUNNING, datetime.now()
        self.set(session, row.trial_id, {WORKER: self.owner})
        beat = HEARTBEATS.where_trial_id(row.trial_id, session)
        if beat is None:
            session.add(HEARTBEATS(trial_id=row.trial_id))
        else:
            beat.heartbeat = session.execute(sqlalchemy.func.now()).scalar()
        return row.trial_id, again

    def _make(self, session: Session, total: int) -> int:
        study = private.study_id(self.study)
        session.query(private.STUDIES).filter(private.STUDIES.study_id == study).with_for_update().one()
        mine = session.query(sqlalchemy.func.count(TRIALS.trial_id)).filter(TRIALS.study_id == study)
        waiting = mine.filter(TRIALS.state == TrialState.WAITING, TRIALS.number < total).scalar()
        if waiting:
            return waiting
        known = mine.scalar()
        self.create(session, known, min(known + AHEAD, total))
        return max(0, min(known + AHEAD, total) - known)

    def create(self, session: Session, known: int, stop: int) -> None:
        """Create the waiting trials from number ``known`` to ``stop``, in a transaction that has locked the study."""
        study = private.study_id(self.study)
        for number in range(known, stop):
            row = TRIALS(study_id=study, number=number, state=TrialState.WAITING)
            session.add(row)
            if number < len(self.initial_points):
                session.flush()
                fixed = json.dumps(self.initial_points[number])
                session.add(
                    private.SYSTEM_ATTRIBUTES(trial_id=row.trial_id, key=private.FIXED_PARAMS, value_json=fixed)
                )

    def _running(self, session: Session) -> list[tuple[int, str]]:
        rows = (
            session.query(TRIALS.trial_id, ATTRIBUTES.value_json)
            .outerjoin(ATTRIBUTES, (ATTRIBUTES.trial_id == TRIALS.trial_id) & (ATTRIBUTES.key == WORKER))
            .filter(TRIALS.study_id == private.study_id(self.study), TRIALS.state == TrialState.RUNNING)
        )
        return [(trial, json.loads(owner) if owner else "") for trial, owner in rows]

    def _requeue(self, session: Session, trial_id: int, owner: str) -> Requeued | None:
        row = private.trial_row(session, trial_id, for_update=True)
        if row.state != TrialState.RUNNING or self.owner_of(session, trial_id) != owner:
            return None  # another worker took it meanwhile
        attempts = int(self._get(session, trial_id, ATTEMPTS) or 0)
        if attempts >= MOST_ATTEMPTS:
            reason = f"its worker died {attempts + 1} times"
            self.set(session, trial_id, {REASON: reason})
            row.state, row.datetime_complete = TrialState.FAIL, datetime.now()
            return Requeued(row.number, reason)
        self.set(session, trial_id, {ATTEMPTS: attempts + 1})
        row.state = TrialState.WAITING
        return Requeued(row.number)

    def owner_of(self, session: Session, trial_id: int) -> str:
        """Name of the worker that runs a trial or ran it last; empty if none has."""
        return self._get(session, trial_id, WORKER) or ""

    def _get(self, session: Session, trial_id: int, key: str) -> Any:
        found = session.query(ATTRIBUTES.value_json).filter(ATTRIBUTES.trial_id == trial_id, ATTRIBUTES.key == key)
        row = found.one_or_none()
        return json.loads(row[0]) if row is not None else None

    def set(self, session: Session, trial_id: int, values: Mapping[str, Any], table: Any = ATTRIBUTES) -> None:
        """Set attributes of a trial in two statements, regardless of their number."""
        if not values:
            return
        known = (table.trial_id == trial_id) & table.key.in_(list(values))
        session.query(table).filter(known).delete(synchronize_session=False)
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in values.items()]
        session.execute(sqlalchemy.insert(table), rows)


def _last_report(row: private.TrialRow) -> list[float]:
    reports = {
        r.step: private.INTERMEDIATE_VALUES.stored_repr_to_intermediate_value(
            r.intermediate_value, r.intermediate_value_type
        )
        for r in row.intermediate_values
    }
    last = reports[max(reports)] if reports else math.nan
    return [] if math.isnan(last) else [last]


def whoami() -> str:
    """Name of this process, ``host/pid/start``; the start time distinguishes it from later processes with its PID."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def in_words(owner: str) -> str:
    """A worker's name for a reader: its process and its host."""
    host, pid, *_ = [*owner.split("/"), ""]
    return f"process {pid} on {host}"


def host_of(owner: str) -> str:
    """Host name of a worker."""
    return owner.partition("/")[0]


def _is_dead(owner: str) -> bool:
    """Whether a worker on this host is dead; always False for another host."""
    host, pid, started = [*owner.split("/"), "", ""][:3]
    if host != socket.gethostname() or not pid:
        return False
    try:
        process = psutil.Process(int(pid))
        # A killed process stays a zombie until its parent waits for it. The tolerance allows for changes of the clock.
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - float(started)) > 2
    except psutil.NoSuchProcess:
        return True


class Heartbeat:
    """Heartbeats of this worker's running trials, from a thread, because Optuna sends them only inside ``optimize``."""

    def __init__(self, queue: TrialQueue) -> None:
        self._queue, self._stop, self._ids = queue, threading.Event(), set()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def watch(self, trial: Trial) -> None:
        self._ids.add(private.trial_id(trial))

    def forget(self, trial: Trial) -> None:
        self._ids.discard(private.trial_id(trial))

    def _beat(self) -> None:
        pause = HEARTBEAT
        while not self._stop.wait(pause):
            try:
                if self._ids:
                    self._queue.beat(tuple(self._ids))
                pause = HEARTBEAT
            except Exception as error:  # the next beat may reach the database again
                pause = HEARTBEAT / 12
                LOG.warning("heartbeat not recorded: %s", type(error).__name__)
