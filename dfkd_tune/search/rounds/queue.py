"""Rounds of a seeded study: its trials are asked together and train in groups, so that none depends on which process is faster.

A round is the next trials by number. It is asked when all earlier trials have ended, by any process, as all would ask the same;
one of them does so at a time.
A group is the trials of a round whose numbers leave the same remainder. One process takes a whole group, so that its students have
the same companions on any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import optuna
import sqlalchemy
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.orm import Session

from dfkd_tune.compat import optuna as private
from dfkd_tune.compat.optuna import PARAMS, TRIALS
from dfkd_tune.compat.optuna import USER_ATTRIBUTES as ATTRIBUTES
from dfkd_tune.search import locks
from dfkd_tune.search.attributes import ROUND
from dfkd_tune.search.locks import StudyLock
from dfkd_tune.search.rounds.memory import RoundMemory
from dfkd_tune.search.trial_queue import FINISHED, Claim, TrialQueue


@dataclass(frozen=True)
class Group:
    """Trials of one round that this worker claimed.

    Args:
        claims: the trials.
        first: whether it is the first group of its round.
        memory: what their pruner knows.
    """

    claims: Sequence[Claim]
    first: bool
    memory: RoundMemory


@dataclass(frozen=True)
class _Found:
    """What a look for a group found: the first trial of the round, trials to ask, and trials claimed as ``(id, again)``."""

    first: int
    unasked: tuple[int, ...] = ()
    claimed: tuple[tuple[int, bool], ...] = ()
    group: int = 0


@dataclass(frozen=True)
class RoundQueue:
    """The rounds of a study, for one worker.

    Args:
        queue: the trial queue of the study.
        groups: number of groups of a round.
        size: number of trials of a round.
        sampler: first of the trials that are asked together -> their sampler; a round that a shorter study began is asked in two parts.
        suggest: draws all parameters of a trial.
    """

    queue: TrialQueue
    groups: int
    size: int
    sampler: Callable[[int], BaseSampler]
    suggest: Callable[[optuna.Trial], object]

    def claim(self, total: int) -> Group | None:
        """Claim a group of the current round, and ask the round first if nobody has.

        Returns None if no trial of the round waits, or if another process is asking for it. Then nothing is written.
        """
        while True:
            if not self.queue.storage.transact(lambda session: self._may_take(session, total)):
                return None
            found = self.queue.storage.transact(lambda session: self._take(session, total))
            if found is None or not (found.unasked or found.claimed):
                return None
            private.forget_cached_trials(self.queue.study)
            trials = self.queue.study.get_trials(deepcopy=False)
            if found.claimed:
                claims = [Claim(Trial(self.queue.study, i), again) for i, again in found.claimed]
                last = max(claim.trial.number for claim in claims)
                memory = RoundMemory(self.queue.study, trials[: last + 1], found.first)
                return Group(claims, found.group == 0, memory)
            lock = StudyLock(self.queue.storage, self.queue.storage.url, self.queue.study, locks.ROUND)
            if not lock.acquire():
                return None
            try:
                ids = [private.trial_id(trials[number]) for number in found.unasked]
                if not self.queue.storage.transact(lambda session, ids=ids: self._asked(session, ids)):
                    self._ask(found, trials)
            finally:
                lock.release()

    def _current(self, session: Session, total: int) -> tuple[int, int, int]:
        """Number of known trials, and the current round ``[first, stop)``, which is empty if all trials have ended."""
        mine = session.query(TRIALS).filter(TRIALS.study_id == private.study_id(self.queue.study))
        known = mine.count()
        unfinished = mine.filter(TRIALS.number < total, TRIALS.state.not_in(FINISHED))
        left = cast("private.TrialRow | None", unfinished.order_by(TRIALS.number).first())
        current = left.number if left is not None else known
        first = current - current % self.size
        return known, first, min(total, first + self.size) if current < total else first

    def _waiting(self, session: Session, first: int, stop: int) -> Any:
        """The waiting trials of a round, by number."""
        return (
            session.query(TRIALS)
            .filter(
                TRIALS.study_id == private.study_id(self.queue.study),
                TRIALS.number >= first,
                TRIALS.number < stop,
                TRIALS.state == TrialState.WAITING,
            )
            .order_by(TRIALS.number)
        )

    def _may_take(self, session: Session, total: int) -> bool:
        """Whether a trial of the current round waits or is to be created; takes no lock, as idle workers look again and again."""
        known, first, stop = self._current(session, total)
        return first < stop and (known < stop or self._waiting(session, first, stop).first() is not None)

    def _take(self, session: Session, total: int) -> _Found | None:
        study = private.study_id(self.queue.study)
        session.query(private.STUDIES).filter(private.STUDIES.study_id == study).with_for_update().one()
        known, first, stop = self._current(session, total)
        if first == stop:
            return None
        self.queue.create(session, known, stop)
        session.flush()
        rows = self._waiting(session, first, stop).all()
        asked = self._asked(session, [row.trial_id for row in rows])
        unasked = tuple(row.number for row in rows if row.trial_id not in asked)
        if unasked or not rows:
            return _Found(first, unasked)
        group = min(row.number % self.groups for row in rows)
        mine_now = [row for row in rows if row.number % self.groups == group]
        return _Found(first, (), tuple(self.queue.start(session, row) for row in mine_now), group)

    def _asked(self, session: Session, trials: Sequence[int]) -> set[int]:
        """IDs of those trials that were asked with their round."""
        found = session.query(ATTRIBUTES.trial_id).filter(ATTRIBUTES.trial_id.in_(trials), ATTRIBUTES.key == ROUND)
        return {trial for (trial,) in found}

    def _ask(self, found: _Found, trials: Sequence[FrozenTrial]) -> None:
        """Ask for the parameters of all trials of a round, and record them and the sampler's state in one transaction."""
        memory = RoundMemory(self.queue.study, trials[: found.unasked[0]], sampler=self.sampler(found.unasked[0]))
        points = self.queue.initial_points
        asked: dict[int, FrozenTrial] = {}
        for number in found.unasked:
            known = trials[number].params  # of a trial that a worker began before the study had rounds
            given = known or (points[number] if number < len(points) else None)
            asked[private.trial_id(trials[number])] = memory.ask(self.suggest, given)
        notes = memory.notes

        def write(session: Session) -> None:
            study = private.study_id(self.queue.study)
            session.query(private.STUDIES).filter(private.STUDIES.study_id == study).with_for_update().one()
            if self._asked(session, list(asked)):
                return  # an earlier run of this transaction wrote them
            begun = {i for (i,) in session.query(PARAMS.trial_id).filter(PARAMS.trial_id.in_(list(asked)))}
            params: list[dict[str, Any]] = []
            for trial, given in asked.items():
                params += _rows(trial, given) if trial not in begun else []
                self.queue.set(session, trial, given.system_attrs, private.SYSTEM_ATTRIBUTES)
                self.queue.set(session, trial, {ROUND: found.first})
            if params:
                session.execute(sqlalchemy.insert(PARAMS), params)
            private.write_study_attributes(session, self.queue.study, notes)

        self.queue.storage.transact(write)


def _rows(trial: int, given: FrozenTrial) -> list[dict[str, Any]]:
    """The parameters of a trial as rows of the database."""
    return [
        {
            "trial_id": trial,
            "param_name": name,
            "param_value": distribution.to_internal_repr(given.params[name]),
            "distribution_json": optuna.distributions.distribution_to_json(distribution),
        }
        for name, distribution in given.distributions.items()
    ]
