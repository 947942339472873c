"""Choose how a process of a study gets its trials."""

from __future__ import annotations

from collections.abc import Callable

from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.trial_queue import TrialQueue
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.trials.asking_claims import AskingClaims
from dfkd_tune.study.trials.claims import Claims, claims
from dfkd_tune.training.answered.problem import AnsweredProblem
from dfkd_tune.training.problem import Problem


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
    found = claims(queue, prepared, record)
    if not isinstance(problem, AnsweredProblem):
        return found
    size = 1 if record.groups is None else record.groups * prepared.population
    asking, labeling = prepared.asking(check_cancelled), prepared.space.committee
    return AskingClaims(found, asking, problem, queue.study, labeling, size)
