"""Leaders of a study run again on fresh seeds before one is promoted: a lucky student is no proof of its recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from .distillation import Outcome, distill_all
from .errors import Interrupted
from .member import Member
from .problem import Problem
from .recipe import Recipe
from .seeds import derive
from .shipping import student_files
from .tracking import Tracker

RECORD = "reruns"
"""Study attribute: trial -> run name -> ``[objective, rmse]``."""


@dataclass(frozen=True)
class Promoted:
    """The student that a study ends with.

    Args:
        trial: whose recipe did best over seeds.
        run: name of the MLflow run that holds the student: the trial's own, or a re-run of it.
        objective, rmse: of that student, the latter on the selection bank in the teacher's units.
        mean: objective of the recipe over its seeds.
    """

    trial: int
    run: str
    objective: float
    rmse: float
    mean: float


def run_name(trial: int, again: int = 0) -> str:
    """The MLflow run of a trial, or of its ``again``-th re-run."""
    return f"rerun-{trial:04d}-{again}" if again else f"trial-{trial:04d}"


def leaders(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best complete trials, best first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: (trial.value, trial.number))[:count]


def choose(leading: Sequence[FrozenTrial], reruns: Mapping[str, Mapping[str, Sequence[float]]]) -> Promoted | None:
    """The recipe with the best mean objective, and the best of its students; None without a complete trial.

    Args:
        leading: the leaders.
        reruns: trial -> run name -> ``[objective, rmse]``.
    """
    found = []
    for trial in leading:
        own = {run_name(trial.number): (trial.value, trial.user_attrs["rmse"])}
        students = own | {name: tuple(score) for name, score in reruns.get(str(trial.number), {}).items()}
        mean = sum(objective for objective, _ in students.values()) / len(students)
        run, (objective, rmse) = min(students.items(), key=lambda item: item[1][0])
        found.append(Promoted(trial.number, run, objective, rmse, mean))
    return min(found, key=lambda promoted: promoted.mean, default=None)


@dataclass(frozen=True)
class Rerunner:
    """Runs leaders again, and records them beside the trials.

    Args:
        study, problem, tracker: of the study.
        seed: of the study.
        objective: outcome -> what the study minimizes.
        should_stop: whether the user wants to stop.
    """

    study: optuna.Study
    problem: Problem
    tracker: Tracker
    seed: int
    objective: Callable[[Outcome], float]
    should_stop: Callable[[], bool]

    def run(self, recipes: Mapping[int, Recipe], times: int) -> None:
        """Make sure that each recipe has ``times`` re-runs on record.

        Raises:
            Interrupted: when the user said so; what was not finished leaves no trace but a KILLED run.
        """
        known = self.study.user_attrs.get(RECORD, {})
        wanted = {
            run_name(trial, again): (trial, recipe)
            for trial, recipe in recipes.items()
            for again in range(1, times + 1)
            if run_name(trial, again) not in known.get(str(trial), {})
        }
        if not wanted:
            return
        members = [Member(name, recipe, derive(self.seed, name)) for name, (_, recipe) in wanted.items()]
        for member in members:
            params = member.recipe.leaves() | {"seed": member.seed, "trial": wanted[member.key][0]}
            self.tracker.open_run(member.key, "rerun", params, {"dfkd.tier": self.problem.inputs.tier})
        try:
            outcomes = distill_all(self.problem, members, self._look_up)
        except BaseException:
            for member in members:
                self.tracker.close_run(member.key, "KILLED", {}, {"dfkd.state": "INTERRUPTED"}, member.curve)
            raise
        for member, outcome in zip(members, outcomes, strict=True):
            self._record(wanted[member.key][0], member.key, outcome)

    def _look_up(self, member: Member) -> None:
        if self.should_stop():
            raise Interrupted(self.study.study_name)

    def _record(self, trial: int, name: str, outcome: Outcome) -> None:
        if outcome.failure:
            tags = {"dfkd.state": "PRUNED", "dfkd.reason": outcome.failure}
            self.tracker.close_run(name, "KILLED", outcome.metrics(), tags, outcome.curve)
            return
        files = student_files(self.problem, outcome, {"study": self.study.study_name, "trial": trial, "run": name})
        self.tracker.close_run(name, "FINISHED", outcome.metrics(), {"dfkd.state": "COMPLETE"}, outcome.curve, files)
        self.tracker.flush()  # what Optuna knows of has its student in MLflow
        known = dict(self.study.user_attrs.get(RECORD, {}))
        known[str(trial)] = known.get(str(trial), {}) | {name: [self.objective(outcome), outcome.selection.rmse]}
        self.study.set_user_attr(RECORD, known)
