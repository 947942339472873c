"""The slots that make ``--n-trials`` exact, under any number of workers.

A study owns N slots: trials numbered 0 to N-1, made WAITING a few ahead of those who claim them. A worker claims one by moving it to
RUNNING under its name, in one transaction; it lands the trial only while the slot still bears that name. A slot whose worker died or
was stopped goes back to WAITING with its parameters.
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

from dfkd_tune.compat import optuna as private
from dfkd_tune.compat.optuna import HEARTBEATS, TRIALS
from dfkd_tune.compat.optuna import USER_ATTRIBUTES as ATTRIBUTES
from dfkd_tune.search.attributes import ATTEMPTS, REASON, WORKER
from dfkd_tune.search.storage import GRACE, HEARTBEAT, PatientStorage

LOG = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often a trial is taken up again before it fails for good."""
AHEAD = 16
"""Slots made at once: every look at a study reads those that wait, 16 in half the time of 64, and nothing is gained by fewer."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Claim:
    """A slot that this worker took.

    Args:
        trial: to suggest, report and land.
        again: it was begun before.
    """

    trial: Trial
    again: bool


@dataclass(frozen=True)
class Requeued:
    """A slot taken from a worker that died.

    Args:
        number: of the trial.
        failed: why it is not tried again; None where it is.
    """

    number: int
    failed: str | None = None


class TrialQueue:
    """A study's slots as one worker sees them.

    Args:
        study, storage: whose slots.
        leads: parameters of the first trials, which the sampler does not choose.
    """

    def __init__(
        self, study: optuna.Study, storage: PatientStorage, initial_points: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.study, self.storage, self.initial_points = study, storage, initial_points
        self.owner = f"{whoami()}/{uuid.uuid4().hex[:8]}"

    def claim(self, total: int) -> Claim | None:
        """Take the next free slot below ``total``; None when there is none."""
        while True:
            found = self.storage.transact(lambda session: self._take(session, total))
            if found is not None:
                private.forget_cached_trials(self.study)
                self.study.get_trials(deepcopy=False)  # Optuna's cache takes no parameter of a trial that it never read
                return Claim(Trial(self.study, found[0]), found[1])
            if not self.make(total):
                return None

    def make(self, total: int) -> int:
        """Make waiting slots where there are none, never beyond ``total``; returns how many wait."""
        return self.storage.transact(lambda session: self._make(session, total))

    def lost(self, trials: Collection[Trial]) -> set[int]:
        """Numbers of those trials that are this worker's no more."""

        def look(session: Any) -> set[int]:
            mine = session.query(TRIALS.number).filter(
                TRIALS.trial_id.in_(private.trial_ids(trials)),
                TRIALS.state == TrialState.RUNNING,
                TRIALS.trial_id == ATTRIBUTES.trial_id,
                ATTRIBUTES.key == WORKER,
                ATTRIBUTES.value_json == json.dumps(self.owner),
            )
            return {trial.number for trial in trials} - {number for (number,) in mine}

        return self.storage.transact(look) if trials else set()

    def complete(self, trial: Trial, state: TrialState, values: Sequence[float], attributes: Mapping[str, Any]) -> bool:
        """End a trial; whether it was still this worker's.

        Args:
            trial: that ends.
            state: COMPLETE, PRUNED or FAIL.
            values: its objectives, none unless it is complete; a pruned trial gets its last finite report, as ``Study.tell`` does.
            attributes: user attributes to add.
        """

        def write(session: Any) -> bool:
            row = private.trial_row(session, private.trial_id(trial), for_update=True)
            if self._owner(session, row.trial_id) != self.owner:
                return False
            if row.state != TrialState.RUNNING:
                return row.state == state  # an earlier run of this transaction ended it
            self._set(session, row.trial_id, attributes)
            for i, final in enumerate(_last_report(row) if state == TrialState.PRUNED else values):
                private.set_trial_value(self.storage, session, row, i, float(final))
            row.state, row.datetime_complete = state, datetime.now()
            return True

        self.storage.invalidate()
        return self.storage.transact(write)

    def give_back(self, trial: Trial) -> None:
        """Return a trial's slot, its parameters kept, for anybody to take up again."""

        def write(session: Any) -> None:
            row = private.trial_row(session, private.trial_id(trial), for_update=True)
            if row.state == TrialState.RUNNING and self._owner(session, row.trial_id) == self.owner:
                row.state = TrialState.WAITING

        self.storage.transact(write)

    def requeue_stale(self) -> list[Requeued]:
        """Take the slots of workers that died; after ``MOST_ATTEMPTS`` the trial fails with the reason."""
        # Right after an outage nobody's signs of life are fresh.
        calm = time.monotonic() - self.storage.last_away > GRACE / 2
        stale = private.stale_trial_ids(self.storage, self.study) if calm else set()
        running = self.storage.transact(self._running)
        dead = [(i, owner) for i, owner in running if i in stale or _is_dead(owner)]
        taken = [self.storage.transact(lambda session, d=each: self._requeue(session, *d)) for each in dead]
        return [each for each in taken if each is not None]

    def owners(self) -> set[str]:
        """Workers that hold slots and show signs of life, this one left out."""
        stale = private.stale_trial_ids(self.storage, self.study)
        running = self.storage.transact(self._running)
        return {owner for i, owner in running if i not in stale and not _is_dead(owner)} - {self.owner}

    def unfinished(self, total: int) -> int:
        """Trials of the study that have not ended."""
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
        """What a worker without a slot waits for, in words."""
        left, machines = self.unfinished(total), sorted({host_of(owner) for owner in self.owners()})
        if not left:
            return "the untuned preset, which another worker runs"
        where = f" on {', '.join(machines)}" if machines else ""
        return f"{left} trials of other workers{where}, or {GRACE / 60:.0f} minutes after the last sign of life of a dead one"

    def beat(self, trials: Collection[int]) -> None:
        """Give a sign of life of trials, by their ids; raises at once where the database is away."""
        now = {HEARTBEATS.heartbeat: sqlalchemy.func.now()}
        self.storage.transact(
            lambda session: (
                session.query(HEARTBEATS).filter(HEARTBEATS.trial_id.in_(trials)).update(now, synchronize_session=False)
            ),
            patient=False,
        )

    def _take(self, session: Any, total: int) -> tuple[int, bool] | None:
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
        if row is None:
            return None
        again = bool(self._owner(session, row.trial_id))
        row.state, row.datetime_start = TrialState.RUNNING, datetime.now()
        self._set(session, row.trial_id, {WORKER: self.owner})
        beat = HEARTBEATS.where_trial_id(row.trial_id, session)
        if beat is None:
            session.add(HEARTBEATS(trial_id=row.trial_id))
        else:
            beat.heartbeat = session.execute(sqlalchemy.func.now()).scalar()
        return row.trial_id, again

    def _make(self, session: Any, total: int) -> int:
        study = private.study_id(self.study)
        session.query(private.STUDIES).filter(private.STUDIES.study_id == study).with_for_update().one()
        mine = session.query(sqlalchemy.func.count(TRIALS.trial_id)).filter(TRIALS.study_id == study)
        waiting = mine.filter(TRIALS.state == TrialState.WAITING, TRIALS.number < total).scalar()
        if waiting:
            return waiting
        known = mine.scalar()
        for number in range(known, min(known + AHEAD, total)):
            row = TRIALS(study_id=study, number=number, state=TrialState.WAITING)
            session.add(row)
            if number < len(self.initial_points):
                session.flush()
                fixed = json.dumps(self.initial_points[number])
                session.add(
                    private.SYSTEM_ATTRIBUTES(trial_id=row.trial_id, key=private.FIXED_PARAMS, value_json=fixed)
                )
        return max(0, min(known + AHEAD, total) - known)

    def _running(self, session: Any) -> list[tuple[int, str]]:
        rows = (
            session.query(TRIALS.trial_id, ATTRIBUTES.value_json)
            .outerjoin(ATTRIBUTES, (ATTRIBUTES.trial_id == TRIALS.trial_id) & (ATTRIBUTES.key == WORKER))
            .filter(TRIALS.study_id == private.study_id(self.study), TRIALS.state == TrialState.RUNNING)
        )
        return [(trial, json.loads(owner) if owner else "") for trial, owner in rows]

    def _requeue(self, session: Any, trial_id: int, owner: str) -> Requeued | None:
        row = private.trial_row(session, trial_id, for_update=True)
        if row.state != TrialState.RUNNING or self._owner(session, trial_id) != owner:
            return None  # somebody else took it meanwhile
        attempts = int(self._get(session, trial_id, ATTEMPTS) or 0)
        if attempts >= MOST_ATTEMPTS:
            reason = f"its worker died {attempts + 1} times"
            self._set(session, trial_id, {REASON: reason})
            row.state, row.datetime_complete = TrialState.FAIL, datetime.now()
            return Requeued(row.number, reason)
        self._set(session, trial_id, {ATTEMPTS: attempts + 1})
        row.state = TrialState.WAITING
        return Requeued(row.number)

    def _owner(self, session: Any, trial_id: int) -> str:
        return self._get(session, trial_id, WORKER) or ""

    def _get(self, session: Any, trial_id: int, key: str) -> Any:
        found = session.query(ATTRIBUTES.value_json).filter(ATTRIBUTES.trial_id == trial_id, ATTRIBUTES.key == key)
        row = found.one_or_none()
        return json.loads(row[0]) if row is not None else None

    def _set(self, session: Any, trial_id: int, values: Mapping[str, Any]) -> None:
        """Set user attributes of a trial, in two statements however many there are."""
        known = (ATTRIBUTES.trial_id == trial_id) & ATTRIBUTES.key.in_(list(values))
        session.query(ATTRIBUTES).filter(known).delete(synchronize_session=False)
        rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in values.items()]
        if rows:
            session.execute(sqlalchemy.insert(ATTRIBUTES), rows)


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
    """This process, told apart from a later one with its number: ``host/pid/start``."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def host_of(owner: str) -> str:
    """The machine of a worker."""
    return owner.partition("/")[0]


def _is_dead(owner: str) -> bool:
    """Whether a worker of this host is gone; of another host nothing is known."""
    host, pid, started = [*owner.split("/"), "", ""][:3]
    if host != socket.gethostname() or not pid:
        return False
    try:
        process = psutil.Process(int(pid))
        # A killed process whose parent never asks for its end stays a zombie; the clock may be set meanwhile.
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - float(started)) > 2
    except psutil.NoSuchProcess:
        return True


class Heartbeat:
    """Signs of life of this worker's running trials, from a thread, as Optuna gives them only inside ``optimize``."""

    def __init__(self, queue: TrialQueue) -> None:
        self._slots, self._stop, self._ids = queue, threading.Event(), set()
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
                self._slots.beat(tuple(self._ids))
                pause = HEARTBEAT
            except Exception as error:  # the next beat may reach the database again
                pause = HEARTBEAT / 12
                LOG.warning("heartbeat not recorded: %s", type(error).__name__)
