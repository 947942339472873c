"""Leaders of a study run again on fresh seeds before one is promoted: a lucky student is no proof of its recipe.

The untuned baseline is one of them where it is among the best: a search that does not beat it must not replace it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from dfkd_tune.export.student_files import student_files
from dfkd_tune.export.synthetic_rows import synthetic_file
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.tracking.runs import STATE
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.distill import Outcome, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

PROMOTED = "promoted"
"""Study attribute: the student that the study ended with, a ``Promoted`` as plain values."""
RECORD = "reruns"
"""Study attribute: trial or ``baseline`` -> run name -> ``[objective, rmse]``, or None for a re-run that diverged."""
BASELINE = "baseline"
"""The run of the untuned preset, and its key on record; as a study attribute, its objective."""
UNTUNED = "untuned"
"""Study attribute: what a trial has as attributes, of the baseline."""


@dataclass(frozen=True)
class Leader:
    """A recipe that may be promoted, by its first student.

    Args:
        trial: whose recipe it is; None for the baseline.
        objective, rmse: of that student, the latter on the selection bank in the teacher's units.
    """

    trial: int | None
    objective: float
    rmse: float

    @property
    def key(self) -> str:
        """What its re-runs are on record under."""
        return BASELINE if self.trial is None else str(self.trial)


@dataclass(frozen=True)
class Promoted:
    """The student that a study ends with.

    Args:
        trial: whose recipe did best over seeds; None for the baseline's.
        run: name of the MLflow run that holds the student: the first one of its recipe, or a re-run of it.
        objective, rmse: of that student, the latter on the selection bank in the teacher's units.
        mean: objective of the recipe over its seeds, infinite when one of them diverged.
    """

    trial: int | None
    run: str
    objective: float
    rmse: float
    mean: float


def recipe_name(trial: int | None) -> str:
    """Whose recipe a student has, in words."""
    return "the untuned preset" if trial is None else f"trial {trial}"


def run_name(trial: int | None, again: int = 0) -> str:
    """The MLflow run of a trial, or of the baseline, or of its ``again``-th re-run."""
    if trial is None:
        return f"rerun-{BASELINE}-{again}" if again else BASELINE
    return f"rerun-{trial:04d}-{again}" if again else f"trial-{trial:04d}"


def leaders(study: optuna.Study, count: int) -> list[Leader]:
    """The best recipes, best first: complete trials, and the baseline where it is as good; none without a complete trial."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = [Leader(trial.number, trial.values[0], trial.user_attrs["rmse"]) for trial in complete]
    untuned = study.user_attrs.get(BASELINE, math.nan)
    if found and math.isfinite(untuned):
        found.append(Leader(None, untuned, study.user_attrs[UNTUNED]["rmse"]))
    return sorted(found, key=lambda one: (one.objective, one.trial is None, one.trial))[:count]


def choose(leading: Sequence[Leader], reruns: Mapping[str, Mapping[str, Sequence[float] | None]]) -> Promoted | None:
    """The recipe with the best mean objective, and the best of its students; None without leaders.

    Args:
        leading: best first.
        reruns: as ``RECORD`` holds them.
    """
    found = []
    for leader in leading:
        own = {run_name(leader.trial): (leader.objective, leader.rmse)}
        again = reruns.get(leader.key, {})
        students = own | {name: score for name, score in again.items() if score is not None}
        mean = sum(objective for objective, _ in students.values()) / len(students)
        mean = math.inf if None in again.values() else mean
        run, (objective, rmse) = min(students.items(), key=lambda item: item[1][0])
        found.append(Promoted(leader.trial, run, objective, rmse, mean))
    return min(found, key=lambda promoted: promoted.mean, default=None)


def wanted(
    leading: Iterable[Leader], times: int, reruns: Mapping[str, Mapping[str, object]]
) -> list[tuple[Leader, str]]:
    """Leaders and the names of their re-runs that are not on record.

    Args:
        leading: recipes.
        times: re-runs of each.
        reruns: as ``RECORD`` holds them.
    """
    names = [(leader, run_name(leader.trial, again)) for leader in leading for again in range(1, times + 1)]
    return [(leader, name) for leader, name in names if name not in reruns.get(leader.key, {})]


@dataclass(frozen=True)
class Rerunner:
    """Runs leaders again, and records them beside the trials.

    Args:
        study, problem, tracker: of the study.
        seed: of the study.
        objective: outcome -> what the study minimizes.
        heed: called at every rung; raises ``Interrupted`` when the user wants to stop.
    """

    study: optuna.Study
    problem: Problem
    tracker: Tracker
    seed: int
    objective: Callable[[Outcome], float]
    heed: Callable[..., None]

    def run(self, recipes: Mapping[Leader, Recipe], times: int, population: int) -> None:
        """Make sure that each recipe has ``times`` re-runs on record.

        Args:
            recipes: by leader.
            times: re-runs of each.
            population: re-runs that train at once.

        Raises:
            Interrupted: when the user said so; what was not finished leaves no trace but a KILLED run.
        """
        missing = wanted(recipes, times, self.study.user_attrs.get(RECORD, {}))
        for first in range(0, len(missing), population):
            self.heed()
            self._run([(leader, name, recipes[leader]) for leader, name in missing[first : first + population]])

    def _run(self, missing: Sequence[tuple[Leader, str, Recipe]]) -> None:
        members = {name: Member(name, recipe, derive(self.seed, name)) for _, name, recipe in missing}
        for leader, name, recipe in missing:
            params = recipe.leaves() | {"seed": members[name].seed}
            params |= {} if leader.trial is None else {"trial": leader.trial}
            self.tracker.open_run(name, "rerun", params, {"dfkd.tier": self.problem.inputs.tier}, again=True)
        try:
            outcomes = distill_all(self.problem, list(members.values()), self.heed)
            for (leader, name, _), outcome in zip(missing, outcomes, strict=True):
                about = {"study": self.study.study_name, "trial": leader.trial, "run": name}
                files = None
                if not outcome.failure:
                    files = student_files(self.problem, outcome, about) | synthetic_file(self.problem, outcome)
                del members[name]
                self._record(leader.key, name, outcome, files)
        except BaseException:
            for name, member in members.items():
                self.tracker.close_run(name, "KILLED", {}, {STATE: "INTERRUPTED"}, member.curve)
            raise

    def _record(self, key: str, name: str, outcome: Outcome, files: Mapping[str, bytes] | None) -> None:
        score = None
        if outcome.failure:
            tags = {STATE: "PRUNED", "dfkd.reason": outcome.failure}
            self.tracker.close_run(name, "KILLED", outcome.metrics(), tags, outcome.curve)
        else:
            score = [self.objective(outcome), outcome.selection.rmse]
            tags = {STATE: "COMPLETE"}
            self.tracker.close_run(name, "FINISHED", outcome.metrics(), tags, outcome.curve, files)
        known = dict(self.study.user_attrs.get(RECORD, {}))
        known[key] = known.get(key, {}) | {name: score}
        self.study.set_user_attr(RECORD, known)
