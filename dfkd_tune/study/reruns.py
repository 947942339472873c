"""Leaders of a study run again on fresh seeds before one is promoted: a lucky student is no proof of its recipe.

The untuned baseline is one of them where it is among the best: a search that does not beat it must not replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.attributes import RERUNS, StudyRecord
from dfkd_tune.search.ranking import Candidate, wanted
from dfkd_tune.study.ending import Ending, ending, stopped
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive


@dataclass(frozen=True)
class Rerunner:
    """Runs leaders again, and records them beside the trials.

    Args:
        study, problem, tracker: of the study.
        seed: of the study.
        objective: name of what the study minimizes.
        check_cancelled: called at every rung; raises ``Interrupted`` when the user wants to stop.
    """

    study: optuna.Study
    problem: Problem
    tracker: Tracker
    seed: int
    objective: str
    check_cancelled: Callable[..., None]

    def run(self, recipes: Mapping[Candidate, Recipe], times: int, population: int) -> None:
        """Make sure that each recipe has ``times`` re-runs on record.

        Args:
            recipes: by leader.
            times: re-runs of each.
            population: re-runs that train at once.

        Raises:
            Interrupted: when the user said so; what was not finished leaves no trace but a KILLED run.
        """
        missing = wanted(recipes, times, StudyRecord.of(self.study).reruns)
        for first in range(0, len(missing), population):
            self.check_cancelled()
            self._run([(leader, name, recipes[leader]) for leader, name in missing[first : first + population]])

    def _run(self, missing: Sequence[tuple[Candidate, str, Recipe]]) -> None:
        members = {name: Member(name, recipe, derive(self.seed, name)) for _, name, recipe in missing}
        for leader, name, recipe in missing:
            params = recipe.leaves() | {param.SEED: members[name].seed}
            params |= {} if leader.trial is None else {param.TRIAL: leader.trial}
            self.tracker.open_run(name, RunKind.RERUN, params, {tag.TIER: self.problem.inputs.tier}, again=True)
        try:
            outcomes = distill_all(self.problem, list(members.values()), self.check_cancelled)
            for (leader, name, _), outcome in zip(missing, outcomes, strict=True):
                about = {"study": self.study.study_name, "trial": leader.trial, "run": name}
                ended = ending(self.problem, outcome, self.objective, about=about)
                del members[name]
                self._record(leader.key, name, ended)
        except BaseException:
            for name, member in members.items():
                stopped(member.curve).close(self.tracker, name)
            raise

    def _record(self, key: str, name: str, ended: Ending) -> None:
        ended.close(self.tracker, name)
        known = dict(StudyRecord.of(self.study).reruns)
        score = [ended.values[0], ended.metrics[metric.RMSE]] if ended.values else None
        known[key] = {**known.get(key, {}), name: score}
        self.study.set_user_attr(RERUNS, known)
