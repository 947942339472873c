"""A trial, or the untuned baseline, that trains in this process."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from dfkd_tune.search.progress import RunningTrial
from dfkd_tune.training.member import Member


@dataclass
class ActiveTrial:
    """A running trial.

    Args:
        key: name of its MLflow run.
        trial: the Optuna trial; None for the baseline.
        member: its student in training.
        seconds: training time so far.
    """

    key: str
    trial: optuna.Trial | None
    member: Member
    seconds: float = 0.0

    def shown(self) -> RunningTrial:
        """Its progress, for display."""
        m = self.member
        return RunningTrial(self.key, m.clock, m.recipe.steps, m.curve[-1][1] if m.curve else None)
