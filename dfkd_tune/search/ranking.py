"""The best recipes of a study, and which of their students it ends with: pure functions of what is on record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from dfkd_tune.search.attributes import BASELINE, StudyRecord
from dfkd_tune.training import metrics as metric


@dataclass(frozen=True)
class Candidate:
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


def top_candidates(study: optuna.Study, count: int) -> list[Candidate]:
    """The best recipes, best first: complete trials, and the baseline where it is as good; none without a complete trial."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = [Candidate(trial.number, trial.values[0], trial.user_attrs[metric.RMSE]) for trial in complete]
    record = StudyRecord.of(study)
    if found and record.baseline is not None and math.isfinite(record.baseline):
        found.append(Candidate(None, record.baseline, record.untuned[metric.RMSE]))
    return sorted(found, key=lambda one: (one.objective, one.trial is None, one.trial))[:count]


def choose(leading: Sequence[Candidate], reruns: Mapping[str, Mapping[str, Sequence[float] | None]]) -> Promoted | None:
    """The recipe with the best mean objective, and the best of its students; None without leaders.

    Args:
        leading: best first.
        reruns: as the study attribute ``reruns`` holds them.
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
    leading: Iterable[Candidate], times: int, reruns: Mapping[str, Mapping[str, object]]
) -> list[tuple[Candidate, str]]:
    """Leaders and the names of their re-runs that are not on record.

    Args:
        leading: recipes.
        times: re-runs of each.
        reruns: as the study attribute ``reruns`` holds them.
    """
    names = [(leader, run_name(leader.trial, again)) for leader in leading for again in range(1, times + 1)]
    return [(leader, name) for leader, name in names if name not in reruns.get(leader.key, {})]
