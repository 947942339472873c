"""How much the students of one recipe differ by their seed alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.search.ranking import Score, rows_of, with_most_rows
from dfkd_tune.training import metrics as metric


def completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The complete trials, best first."""
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(done, key=lambda trial: (trial.values[0], trial.number))


def seed_noise(trials: Sequence[FrozenTrial], reruns: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Seed noise: standard deviation of the log objective over seeds of one recipe, pooled over the recipes with re-runs.

    The original trials count too. As they were selected for a good objective, this overestimates the noise.
    """
    squares, freedom = 0.0, 0
    for trial in completed(trials):
        scores = [Score.of(score) for score in reruns.get(str(trial.number), {}).values()]
        logs = [math.log(score.objective) for score in students(trial, scores) if score.objective > 0]
        if len(logs) > 1:
            squares += statistics.variance(logs) * (len(logs) - 1)
            freedom += len(logs) - 1
    return math.sqrt(squares / freedom) if freedom else None


def students(trial: FrozenTrial, reruns: Sequence[Score]) -> list[Score]:
    """The students of a trial's recipe that differ by their seed alone: where rows are asked in between, those with the most rows."""
    own = Score(trial.values[0], trial.user_attrs.get(metric.RMSE, math.nan), rows_of(trial.user_attrs))
    alike = with_most_rows({str(i): score for i, score in enumerate((own, *reruns))})
    return [score for score in alike.values() if not score.diverged]
