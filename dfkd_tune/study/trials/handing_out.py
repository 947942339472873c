"""Choose how a process of a study gets its trials."""

from __future__ import annotations

from collections.abc import Callable

from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.optuna_kinds import sampler
from dfkd_tune.search.rounds.queue import RoundQueue
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.trials.asking_claims import AskingClaims
from dfkd_tune.study.trials.claims import Claims, Rounds, Steady
from dfkd_tune.training.answered.problem import AnsweredProblem
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive


def claims_of(
    queue: TrialQueue,
    prepared: Prepared,
    record: StudyRecord,
    problem: Problem,
    check_cancelled: Callable[[], None],
) -> Claims:
    """The way in which a recorded study hands out its trials.

    Args:
        queue, prepared, record, problem: queue, settings, record and problem of the study.
        check_cancelled: called while another process asks the teacher; may raise.
    """
    size = 1 if record.groups is None else record.groups * prepared.population
    found = _claims(queue, prepared, record, size)
    if not isinstance(problem, AnsweredProblem):
        return found
    return AskingClaims(found, prepared.asking(check_cancelled), problem, queue.study, size)


def _claims(queue: TrialQueue, prepared: Prepared, record: StudyRecord, size: int) -> Claims:
    if record.groups is None:
        return Steady(queue, prepared, record.workers)
    seed, choice = prepared.spec.study.seed, prepared.spec.sampler
    rounds = RoundQueue(
        queue,
        record.groups,
        size,
        lambda first: sampler(choice, derive(seed, "sampler", first)),
        prepared.space.suggest,
    )
    return Rounds(rounds, prepared)
