"""Rank the recipes of a study and choose the student to promote; pure functions of recorded values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from dfkd_tune.search.attributes import BASELINE, StudyRecord
from dfkd_tune.training import metrics as metric


@dataclass(frozen=True)
class Candidate:
    """A recipe that may be promoted, with the results of its first student.

    Args:
        trial: number of the trial with this recipe; None for the baseline.
        objective: objective of that student.
        rmse: RMSE of that student on the selection bank, in the teacher's units.
        rows: answered rows that it trained on, in a study with a total number of queries; None elsewhere.
        short: whether it trained fewer steps than its re-runs.
    """

    trial: int | None
    objective: float
    rmse: float
    rows: int | None = None
    short: bool = False

    @property
    def own(self) -> Score:
        """The result of that student."""
        return Score(self.objective, self.rmse, self.rows, short=self.short)

    @property
    def key(self) -> str:
        """The key of its re-runs in the study attribute ``reruns``."""
        return BASELINE if self.trial is None else str(self.trial)


@dataclass(frozen=True)
class Promoted:
    """The student that a study promotes.

    Args:
        trial: number of the trial whose recipe was best over seeds; None for the baseline.
        run: name of the MLflow run that holds the student: the trial's run or a re-run of it.
        objective: objective of that student.
        rmse: RMSE of that student on the selection bank, in the teacher's units.
        mean: mean objective of the recipe over its seeds; infinite if one of them diverged.
        rows: answered rows that it trained on, in a study with a total number of queries; None elsewhere.
    """

    trial: int | None
    run: str
    objective: float
    rmse: float
    mean: float
    rows: int | None = None


@dataclass(frozen=True)
class Score:
    """The result of a recipe's student.

    Args:
        objective, rmse: as in ``Candidate``; infinite if it diverged.
        rows: as in ``Candidate``.
        committee: number of students of other trials that labeled further rows for it.
        short: as in ``Candidate``; not recorded, as no re-run is.
    """

    objective: float
    rmse: float
    rows: int | None = None
    committee: int = 0
    short: bool = False

    @classmethod
    def of(cls, recorded: Sequence[Any] | None) -> Score:
        """The result from its value in the study attribute ``reruns``."""
        objective, rmse, *more = recorded or (None, None)
        if objective is None or rmse is None:
            return cls(math.inf, math.inf, *more)
        return cls(objective, rmse, *more)

    @property
    def diverged(self) -> bool:
        """Whether there is no student."""
        return not math.isfinite(self.objective)

    def tree(self) -> list[float | None] | None:
        """The value in the study attribute ``reruns``."""
        if self.rows is None:
            return None if self.diverged else [self.objective, self.rmse]
        found = (None, None) if self.diverged else (self.objective, self.rmse)
        return [*found, self.rows, self.committee] if self.committee else [*found, self.rows]


@dataclass(frozen=True)
class Tried:
    """A smaller size that was tried, over seeds.

    Args:
        parameters: parameters of its students.
        ratio: geometric mean of its students' objectives over those of the same seeds before they were pruned; infinite if one
            diverged.
        low, high: 95 % confidence interval of that ratio, by Student's t of the logarithms.
        confidence: confidence that the ratio over all seeds is within the share, 0 to 1, by the same t.
        runs: names of the runs, one a seed.
    """

    parameters: int
    ratio: float
    low: float
    high: float
    confidence: float
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Smallest:
    """The smallest student whose objective is within a share of the best recipe's.

    Args:
        share: how much larger its objective may be.
        trial: trial of the best recipe, whose students were pruned; None for the baseline.
        parameters: parameters of that recipe's students.
        seeds: number of these students.
        tried: sizes that were tried, in that order.
        chosen: index of the smallest one within the share; None if none is.
        student: its best student: ``run``, ``objective``, ``rmse``, ``mean``, ``recipe`` as JSON, and further metrics; None if none is.
    """

    share: float
    trial: int | None
    parameters: int
    seeds: int
    tried: tuple[Tried, ...]
    chosen: int | None
    student: Mapping[str, Any] | None

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Smallest:
        """The result from the value of the study attribute ``smallest``."""
        tried = tuple(Tried(**{**each, "runs": tuple(each["runs"])}) for each in tree["tried"])
        return cls(**{**tree, "tried": tried})

    @property
    def size(self) -> Tried | None:
        """The chosen size; None if none is within the share."""
        return None if self.chosen is None else self.tried[self.chosen]


def recipe_name(trial: int | None) -> str:
    """Name a recipe in words, by its trial."""
    return "the untuned baseline" if trial is None else f"trial {trial}"


def run_name(trial: int | None, again: int = 0) -> str:
    """Name of the MLflow run of a trial or of the baseline (None), or of its ``again``-th re-run."""
    if trial is None:
        return f"rerun-{BASELINE}-{again}" if again else BASELINE
    return f"rerun-{trial:04d}-{again}" if again else f"trial-{trial:04d}"


def pruned_name(trial: int | None, size: str, again: int) -> str:
    """Name of the MLflow run of a smaller student, pruned from the ``again``-th student of a trial or of the baseline (None)."""
    return f"{pruned_names(trial)}{size}-{again}"


def pruned_names(trial: int | None) -> str:
    """What the names of all of these runs begin with."""
    return f"smaller-{BASELINE if trial is None else f'{trial:04d}'}-"


def top_trials(study: optuna.Study, count: int) -> list[Candidate]:
    """The ``count`` best recipes of complete trials, best first."""
    return _best(_complete(study), count)


def top_candidates(study: optuna.Study, count: int) -> list[Candidate]:
    """The ``count`` best recipes of complete trials, best first, and the baseline if it ranks among them.

    The baseline takes no trial's place: it has trained all steps, and trials may not have.
    """
    trials, record = top_trials(study, count), StudyRecord.of(study)
    if not trials or record.baseline is None or not math.isfinite(record.baseline):
        return trials
    untuned = Candidate(None, record.baseline, record.untuned[metric.RMSE], rows_of(record.untuned))
    ranks = untuned in _best([*trials, untuned], count)
    return _best([*trials, untuned], count + 1) if ranks else trials


def _complete(study: optuna.Study) -> list[Candidate]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    short = StudyRecord.of(study).has_short_trials
    return [
        Candidate(trial.number, trial.values[0], trial.user_attrs[metric.RMSE], rows_of(trial.user_attrs), short)
        for trial in complete
    ]


def rows_of(known: Mapping[str, Any]) -> int | None:
    """Answered rows that a student trained on, from the attributes of its trial; None where their number does not grow."""
    rows = known.get(metric.ANSWERED_ROWS)
    return None if rows is None else int(rows)


def _best(found: Sequence[Candidate], count: int) -> list[Candidate]:
    return sorted(found, key=lambda one: (one.objective, one.trial is None, one.trial))[:count]


def choose(leading: Sequence[Candidate], reruns: Mapping[str, Mapping[str, Sequence[float] | None]]) -> Promoted | None:
    """Choose the recipe with the best mean objective, and the best of its students; None without candidates.

    Args:
        leading: candidates, best first.
        reruns: value of the study attribute ``reruns``.
    """
    return next(iter(ranked(leading, reruns)), None)


def ranked(leading: Sequence[Candidate], reruns: Mapping[str, Mapping[str, Sequence[float] | None]]) -> list[Promoted]:
    """The best student of each candidate, that of the best mean objective first; arguments are those of ``choose``.

    Of a recipe, only students count that ``trained_alike``.
    """
    found = []
    for leader in leading:
        own = {run_name(leader.trial): leader.own}
        students = own | {name: Score.of(score) for name, score in reruns.get(leader.key, {}).items()}
        alike = trained_alike(students)
        mean = sum(score.objective for score in alike.values()) / len(alike)
        whole = {name: score for name, score in alike.items() if not score.diverged} or own
        run, score = min(whole.items(), key=lambda item: item[1].objective)
        found.append(Promoted(leader.trial, run, score.objective, score.rmse, mean, score.rows))
    return sorted(found, key=lambda promoted: promoted.mean)


def trained_alike(students: Mapping[str, Score]) -> dict[str, Score]:
    """Those of a recipe's students, by run, that differ by their seed alone.

    They trained the most steps, on the most answered rows, where that number grew during the study, and with the largest committee.
    """
    training = {name: (not score.short, score.rows or 0, score.committee) for name, score in students.items()}
    most = max(training.values())
    return {name: score for name, score in students.items() if training[name] == most}


def leading_students(study: optuna.Study, count: int, rerun: bool = True) -> list[Promoted]:
    """The best student of each of a study's ``count`` recipes that are best over seeds, the promoted one first.

    Args:
        study: the recorded study.
        count: number of recipes.
        rerun: whether re-runs on record count.
    """
    known = StudyRecord.of(study)
    found = ranked(top_candidates(study, count), known.reruns if rerun else {})[:count]
    smallest = {"student": None} if known.smallest is None else known.smallest
    if not found or smallest["student"] is None or smallest["trial"] != found[0].trial:
        return found
    made = Promoted(found[0].trial, *(smallest["student"][name] for name in ("run", "objective", "rmse", "mean")))
    return [made, *found[1:]]


def rerun_names(
    leading: Iterable[Candidate],
    times: int,
    reruns: Mapping[str, Mapping[str, Any]],
    rows: int = 0,
    committee: int = 0,
) -> list[tuple[Candidate, str]]:
    """All re-runs of a study, done or not: candidates with the names of their runs.

    Re-runs that trained on fewer answered rows than there are now, or with a smaller committee, do not count, and others follow them by
    number. The untuned baseline has no committee.

    Args:
        leading: candidates to re-run.
        times: number of re-runs per candidate.
        reruns: value of the study attribute ``reruns``.
        rows: answered rows of the study; 0 where their number does not grow.
        committee: number of students that label for re-runs; 0 if nobody does.
    """
    before = {}
    for key, each in reruns.items():
        least = (rows, 0 if key == BASELINE else committee)
        before[key] = sum((score.rows or 0, score.committee) < least for score in map(Score.of, each.values()))
    return [
        (leader, run_name(leader.trial, before.get(leader.key, 0) + again))
        for leader in leading
        for again in range(1, times + 1)
    ]


def wanted(
    leading: Iterable[Candidate],
    times: int,
    reruns: Mapping[str, Mapping[str, Any]],
    rows: int = 0,
    committee: int = 0,
) -> list[tuple[Candidate, str]]:
    """The re-runs that are still to do; arguments are those of ``rerun_names``."""
    names = rerun_names(leading, times, reruns, rows, committee)
    return [(leader, name) for leader, name in names if name not in reruns.get(leader.key, {})]
