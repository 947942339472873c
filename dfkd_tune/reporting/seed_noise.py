"""How much the students of one recipe differ by their seed alone, and which recipes a study can tell apart in spite of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.search.attributes import BASELINE, StudyRecord
from dfkd_tune.search.ranking import Score, rows_of, trained_alike
from dfkd_tune.training import metrics as metric

LEVEL = 0.975
"""Probability below the upper end of an interval of 95 %."""


def completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The complete trials, best first."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(done, key=lambda trial: (trial.values[0], trial.number))


def seed_noise(trials: Sequence[FrozenTrial], known: StudyRecord) -> float | None:
    """Seed noise: standard deviation of the log objective over seeds of one recipe, pooled over the recipes with re-runs.

    The original trials count too where they train as long as their re-runs. As they were selected for a good objective, this
    overestimates the noise then.
    """
    groups = [students(trial, known) for trial in completed(trials) if str(trial.number) in known.reruns]
    return pooled([[math.log(score.objective) for score in each if score.objective > 0] for each in groups])[0]


def pooled(groups: Iterable[Sequence[float]]) -> tuple[float | None, float]:
    """Standard deviation of the values within their groups, pooled, and how many standard errors a 95 % interval spans by Student's t.

    Without a group of two values the first is None and the second infinite.
    """
    from scipy.special import stdtrit

    several = [values for values in groups if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return (math.sqrt(squares / freedom), float(stdtrit(freedom, LEVEL))) if freedom else (None, math.inf)


def students(trial: FrozenTrial, known: StudyRecord) -> list[Score]:
    """The students of a trial's recipe that differ by their seed alone (see ``trained_alike``)."""
    about, rmse = trial.user_attrs, trial.user_attrs.get(metric.RMSE, math.nan)
    own = Score(trial.values[0], rmse, rows_of(about), short=known.has_short_trials)
    return _alike(own, known.reruns.get(str(trial.number), {}))


def untuned_students(known: StudyRecord) -> list[Score]:
    """The students of the baseline that differ by their seed alone; empty before it is known."""
    if known.baseline is None:
        return []
    own = Score(known.baseline, known.untuned.get(metric.RMSE, math.nan), rows_of(known.untuned))
    return _alike(own, known.reruns.get(BASELINE, {}))


def _alike(own: Score, reruns: Mapping[str, Sequence[Any] | None]) -> list[Score]:
    alike = trained_alike({"": own} | {name: Score.of(score) for name, score in reruns.items()})
    return [score for score in alike.values() if not score.diverged]


@dataclass(frozen=True)
class Rival:
    """A recipe that was run again, beside the promoted one.

    Args:
        trial: number of its trial; None for the untuned baseline.
        ratio: geometric mean of its students' objectives over that of the promoted recipe's students.
        low, high: 95 % confidence interval of that ratio over seeds.
    """

    trial: int | None
    ratio: float
    low: float
    high: float

    @property
    def alike(self) -> bool:
        """Whether the study cannot tell the two recipes apart."""
        return self.low <= 1 <= self.high


def rivals(trials: Sequence[FrozenTrial], known: StudyRecord) -> list[Rival]:
    """The other recipes that were run again, the best first; empty before the study's end, or where fewer than two have several students.

    The logarithms of objectives are taken as normal with one deviation for all recipes, pooled over their seeds, so that the
    intervals follow Student's t. A recipe with a student that diverged is left out.
    """
    scored = known.reruns
    alike = {str(t.number): students(t, known) for t in completed(trials) if str(t.number) in scored}
    if BASELINE in scored:
        alike[BASELINE] = untuned_students(known)
    diverged = {key: any(Score.of(one).diverged for one in each.values()) for key, each in scored.items()}
    logs = {
        key: [math.log(one.objective) for one in each]
        for key, each in alike.items()
        if len(each) > 1 and not diverged[key] and all(one.objective > 0 for one in each)
    }
    first = None if known.promoted is None else known.promoted["trial"]
    best = logs.pop(BASELINE if first is None else str(first), None)
    if known.promoted is None or best is None or not logs:
        return []
    noise, errors = pooled([best, *logs.values()])
    assert noise is not None  # each of them has several students
    found = []
    for key, each in logs.items():
        apart = statistics.fmean(each) - statistics.fmean(best)
        error = noise * errors * math.sqrt(1 / len(each) + 1 / len(best))
        number = None if key == BASELINE else int(key)
        found.append(Rival(number, math.exp(apart), math.exp(apart - error), math.exp(apart + error)))
    return sorted(found, key=lambda rival: rival.ratio)
