"""Checkpoints: which weights of a run the student keeps."""

from __future__ import annotations

from dfkd_tune.recipes.base import Checkpoint
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class Best(Checkpoint):
    """Early stopping on held-out rows (Prechelt 1998): the weights of the rung with the lowest RMSE on the pruning bank.

    All steps are trained, so that every trial has the same budget.
    """

    def replaces(self, reached: float, kept: float) -> bool:
        return reached < kept


@strategy
class Last(Checkpoint):
    """The weights after the last step, as in both papers."""

    def replaces(self, reached: float, kept: float) -> bool:
        return True


CHECKPOINTS: Registry[type[Checkpoint]] = Registry("checkpoints", Checkpoint, {"best": Best, "last": Last})
