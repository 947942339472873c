"""Find the smallest student within a share of the best recipe's: prune its students, train them on, compare, record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import RECIPE, SMALLER, SMALLEST, StudyRecord
from dfkd_tune.search.locks import exclusive
from dfkd_tune.search.ranking import (
    Candidate,
    Score,
    Smallest,
    Tried,
    choose,
    pruned_name,
    run_name,
    top_candidates,
    trained_alike,
)
from dfkd_tune.students.base import Student
from dfkd_tune.students.shrinking import shrunk
from dfkd_tune.study.reruns import Rerunner
from dfkd_tune.study.smaller.sizes import compared, label, smallest
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.utils.seeding import derive

KEPT = (metric.RMSE, metric.NRMSE, metric.PARAMETERS, metric.COMPRESSION, metric.LATENCY)
"""Metrics of a pruned student that the study's record keeps."""
ROWS = 8_192
"""Most pool rows on which students are pruned."""


def find_smallest(rerunner: Rerunner, recipe_of: Callable[[Candidate], Recipe], population: int) -> None:
    """Find the smallest student within a share of the best, and record it in the study attribute ``smallest``.

    One process of a study may call this at a time. What an interrupted call has recorded is not trained again.

    Args:
        rerunner: trains and records; its study has the re-runs of its leaders.
        recipe_of: the recipe of a candidate.
        population: number of students that train at once.

    Raises:
        Interrupted: if the user stopped the study.
    """
    study, section, share = rerunner.study, rerunner.section, rerunner.section.within
    known = StudyRecord.of(study)
    leading = {leader.trial: leader for leader in top_candidates(study, section.leaders)}
    best = choose(list(leading.values()), known.reruns)
    if share is None or best is None:
        if known.smallest is not None:
            study.set_user_attr(SMALLEST, None)
        return
    first = leading[best.trial]
    names = [run_name(first.trial, i) for i in range(section.reruns + 1)]
    again = known.reruns.get(first.key, {})
    alike = trained_alike({names[0]: first.own} | {name: Score.of(again.get(name)) for name in names[1:]})
    if any(score.diverged for score in alike.values()):  # no size can be compared with it
        return study.set_user_attr(SMALLEST, None)
    scores = tuple(score.objective for score in alike.values())
    found = Shrinker(rerunner, first, recipe_of(first), tuple(alike), scores, population, share).run()
    study.set_user_attr(SMALLEST, asdict(found))


@dataclass(frozen=True)
class Shrinker:
    """The search for a smaller student of one recipe.

    Args:
        rerunner, best, recipe, population, share: as in ``find_smallest``.
        names, scores: names of the runs of the recipe's students, and their objectives.
    """

    rerunner: Rerunner
    best: Candidate
    recipe: Recipe
    names: tuple[str, ...]
    scores: tuple[float, ...]
    population: int
    share: float

    def run(self) -> Smallest:
        """Try sizes until the smallest within the share is known."""
        problem, tried = self.rerunner.problem, {}

        def holds(student: Student) -> bool:
            tried[student] = self._tried(student)
            return tried[student].ratio <= 1 + self.share

        found = smallest(self.recipe.student, problem.columns, holds)
        sizes = list(tried)
        chosen = None if found is None else sizes.index(found)
        own = self.recipe.student.parameters(problem.columns, problem.outputs)
        student = None if chosen is None else self._best_of(tried[sizes[chosen]], sizes[chosen])
        return Smallest(self.share, self.best.trial, own, len(self.names), tuple(tried.values()), chosen, student)

    def _tried(self, student: Student) -> Tried:
        """Train the students of one size that are not on record, and compare all of them."""
        problem, runs = self.rerunner.problem, self._runs(student)
        missing = [i for i, name in enumerate(runs) if name not in self._record()]
        for first in range(0, len(missing), self.population):
            self._train(student, runs, missing[first : first + self.population])
        record = self._record()
        after = [None if record[name] is None else record[name]["objective"] for name in runs]
        parameters = student.parameters(problem.columns, problem.outputs)
        return compared(parameters, runs, after, self.scores, self.share)

    def _runs(self, student: Student) -> list[str]:
        size = label(student, self.rerunner.problem.columns)
        return [pruned_name(self.best.trial, size, i) for i in range(len(self.names))]

    def _record(self) -> dict[str, Any]:
        return dict(StudyRecord.of(self.rerunner.study).smaller)

    def _train(self, student: Student, runs: Sequence[str], seeds: Sequence[int]) -> None:
        recipe = replace(self.recipe, student=student)
        members, about = [], {}
        for i in seeds:
            start = self._pruned(self.trained[i], student)
            members.append(Member(runs[i], recipe, derive(self.rerunner.section.seed, runs[i]), start=start))
            about[runs[i]] = {"pruned_from": self.names[i]}
        trials = dict.fromkeys(about, self.best.trial)
        for name, ended in self.rerunner.distilled(members, trials, RunKind.SMALLER, about):
            known = {key: ended.metrics[key] for key in KEPT if key in ended.metrics}
            told = {"objective": ended.values[0], **known} if ended.values else None
            with exclusive(self.rerunner.storage, self.rerunner.url):
                self.rerunner.study.set_user_attr(SMALLER, self._record() | {name: told})

    def _pruned(self, weights: Sequence[Tensor], student: Student) -> list[Tensor]:
        problem, loss = self.rerunner.problem, self.recipe.loss
        rows = min(ROWS, len(problem.pool))
        x, values = problem.encoder.rows(problem.pool.z[:rows]), problem.pool.values[:rows]
        given = (x, values, problem.columns, loss.gradient_weight, problem.matched)
        return shrunk(self.recipe.student, weights, student, *given)

    @cached_property
    def trained(self) -> list[list[Tensor]]:
        """Weights of the recipe's own students, distilled again: no store keeps weights as they are in training."""
        members = [Member(name, self.recipe, self._seed(name)) for name in self.names]
        found: list[list[Tensor]] = []
        for begin in range(0, len(members), self.population):
            part = members[begin : begin + self.population]
            outcomes = distill_all(self.rerunner.problem, part, self.rerunner.check_cancelled)
            found += [outcome.weights for outcome in outcomes]
        return found

    def _seed(self, name: str) -> int:
        """The seed of one of the recipe's own students."""
        seed, trial = self.rerunner.section.seed, self.best.trial
        return derive(seed, name) if trial is None or name != run_name(trial) else derive(seed, "trial", trial)

    def _best_of(self, size: Tried, student: Student) -> dict[str, Any]:
        """The best student of a size, which has the architecture ``student``."""
        record, recipe = self._record(), json.dumps(replace(self.recipe, student=student).tree())
        known = {name: told for name in size.runs if (told := record[name]) is not None}
        run = min(known, key=lambda name: known[name]["objective"])
        mean = sum(told["objective"] for told in known.values()) / len(known)
        return {"run": run, "mean": mean, RECIPE: recipe, **known[run]}
