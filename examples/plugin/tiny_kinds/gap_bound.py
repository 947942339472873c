"""A gap bound that prefers large gaps all the more."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkd_tune.recipes.base import GapBound
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Quartic(GapBound):
    """Maximize ``gap^4``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return gap.square().square()

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 4 * gap * gap.square()

    @staticmethod
    def active(h: Stacked, gap: Tensor) -> Tensor:
        return torch.zeros_like(gap, dtype=torch.bool)
