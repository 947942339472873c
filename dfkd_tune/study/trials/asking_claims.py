"""Trials of a study with a total: before any is taken up, the rounds of rows that are due are asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from dfkd_tune.generators.rounds.base import Answer
from dfkd_tune.search.attributes import COMMITTEE, StudyRecord
from dfkd_tune.search.ranking import run_name
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.study.total.asking import Asking
from dfkd_tune.study.trials.claims import Claims, Intake
from dfkd_tune.training.answered.finished_student import FinishedStudent
from dfkd_tune.training.answered.problem import AnsweredProblem

LOG = logging.getLogger(__name__)

MEMBERS = 8
"""Most students in a committee, the best first."""


@dataclass
class AskingClaims:
    """Hands out trials as ``claims`` does, and asks rounds of rows in between.

    Args:
        claims: how trials are handed out.
        asking: how rows are asked.
        problem: the problem of this process, which grows.
        study: the study.
        labeling: answered rows -> most students that label for re-runs.
        size: trials of a round of trials, before which a round of rows is asked at the same moment by any number of processes;
            1 where trials are handed out one by one.
    """

    claims: Claims
    asking: Asking
    problem: AnsweredProblem
    study: optuna.Study
    labeling: Callable[[int], int]
    size: int = 1
    asked: int = field(default=0, init=False)
    total: int = field(default=0, init=False)
    told: bool = field(default=False, init=False)
    pause: float = field(init=False)

    def __post_init__(self) -> None:
        self.pause = self.claims.pause

    def take(self, total: int, active: int, baseline: bool) -> Intake:
        """As ``Claims.take``; the untuned baseline waits until all trials have ended, so that it trains on all rows."""
        self.total = total
        if self.size == 1 or not (active or baseline):  # a round of trials has the same rows on any number of processes
            self._ask()
        taken = self.claims.take(total, active, baseline)
        if self.size > 1 and taken.trials:  # the round before may have ended in between
            self._ask()
        return replace(taken, baseline=False)

    def catch_up(self) -> None:
        """As ``Claims.catch_up``: rounds may have been asked by others since, or none be due as the time is up.

        The students of the best trials are the committee that labels rows for what trains from now on.
        """
        self._ask()  # the last trial of another process may have ended since
        problem, answered = self.problem, self.asking.answered(len(self.asking.total.division.rounds))
        if answered.shared != problem.answered_rows:
            problem.grow(answered)
        best = self._best(self.study.get_trials(deepcopy=False))
        members = 0 if problem.population is not None else min(self.labeling(answered.shared), len(best))
        problem.finished = self._finished(best, members)
        if StudyRecord.of(self.study).committee != len(problem.finished):
            self.study.set_user_attr(COMMITTEE, len(problem.finished))
        if len(problem.finished) < members and not self.told:
            rule = (
                "study %s: %d students label rows for its re-runs instead of %d, as those of other trials are not in %s"
            )
            LOG.warning(rule, self.study.study_name, len(problem.finished), members, problem.students)
            self.told = True

    def report(self, values: Mapping[optuna.Trial, tuple[int, float]]) -> None:
        self.claims.report(values)

    def should_prune(self, trial: optuna.Trial) -> bool:
        return self.claims.should_prune(trial)

    def notes(self, trial: optuna.Trial) -> Mapping[str, Any]:
        return self.claims.notes(trial)

    def _ask(self) -> None:
        """Ask the rounds that are due, and train on them from now on; on those, too, that an earlier session with fewer trials asked."""
        rounds = len(self.asking.total.division.rounds)
        if self.asked == rounds:
            return
        trials = self.study.get_trials(deepcopy=False)
        ended = sum(trial.state.is_finished() for trial in trials)
        if ended < self.total:  # the last round of trials may be shorter than the others
            ended = ended // self.size * self.size
        due = sum(ended >= max(1, self.total * i // (rounds + 1)) for i in range(1, rounds + 1))
        due = max(due, self.asking.begun())
        if due <= self.asked:
            return
        best = self._best(trial for trial in trials if self.size == 1 or trial.number < ended)
        for number in range(self.asked + 1, due + 1):
            self.asking.round(number, lambda: [*map(self._answer, self._finished(best, MEMBERS))])
        self.problem.grow(self.asking.answered(due))
        self.asked = due

    @staticmethod
    def _best(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """The complete trials, best first."""
        complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
        return sorted(complete, key=lambda trial: (trial.values[0], trial.number))

    def _finished(self, best: Sequence[FrozenTrial], most: int) -> list[FinishedStudent]:
        """Students of the first trials whose weights are on this machine."""
        problem, shape = self.problem, (self.problem.columns, self.problem.outputs, self.problem.dtype)
        files = ((trial, problem.student_file(run_name(trial.number))) for trial in best)
        read = (FinishedStudent.read(file, recipe_of(trial).student, *shape) for trial, file in files)
        return list(islice((each for each in read if each is not None), most))

    def _answer(self, finished: FinishedStudent) -> Answer:
        problem = self.problem
        stacked = [weight.unsqueeze(0).to(problem.device) for weight in finished.folds[0]]

        def answer(z: Tensor) -> Tensor:
            rows = problem.encoder.rows(z.to(problem.device, problem.dtype)[None])
            return finished.student.answer(stacked, rows, problem.columns)[0]

        return answer
