"""Gap bounds: which gap between teacher and student generators seek (the difference bounds of Zhou & Chiam 2023).

Notation: ``gap = T(x) - S(x)`` in units of the teacher's standard deviation, shape ``(k, G, O)`` for k members, G synthetic
rows, O outputs; ``h`` are stacked hyper-parameters. Generators maximize the ``reward``; ``gradient`` is its derivative.
Only ``target`` and ``cap`` penalize a gap that is too large. The other bounds stop rewarding it.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.recipes.base import GapBound
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import Stacked, strategy

Positive = Annotated[float, Field(gt=0)]


@strategy
class Unbounded(GapBound):
    """Seek the largest gap: maximize ``gap^2`` (Zhou & Chiam 2023, eq. 7)."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return gap.square()

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap

    @staticmethod
    def active(h: Stacked, gap: Tensor) -> Tensor:
        return torch.zeros_like(gap, dtype=torch.bool)


@strategy
class ThresholdBound(GapBound):
    """Base of bounds with a threshold: active on gaps above the threshold, which may be relative to the student's RMSE.

    Args:
        threshold: gap in standard deviations of the teacher; if ``adaptive``, in units of the student's current RMSE on prior rows.
        adaptive: whether the threshold is relative to the student's RMSE.
    """

    threshold: Positive = 0.5
    adaptive: bool = False

    @property
    def is_adaptive(self) -> bool:
        """Same as ``adaptive``."""
        return self.adaptive

    @classmethod
    def adapted(cls, h: Stacked, rmse: Tensor | None) -> Stacked:
        """The hyper-parameters with the threshold in standard deviations of the teacher."""
        return h if rmse is None or not h.adaptive else h.replaced(threshold=h.threshold * rmse)

    @staticmethod
    def active(h: Stacked, gap: Tensor) -> Tensor:
        """Whether each gap is above the threshold."""
        return gap.abs() >= h.threshold


@strategy
class Clip(ThresholdBound):
    """No reward for exceeding the threshold: maximize ``min(gap^2, threshold^2)``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return torch.minimum(gap.square(), h.threshold.square())

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap * (gap.abs() < h.threshold)


@strategy
class Target(ThresholdBound):
    """Seek a gap of one size: minimize ``(|gap| - threshold)^2``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return -(gap.abs() - h.threshold).square()

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * (h.threshold * gap.sign() - gap)


@strategy
class Hinge(ThresholdBound):
    """Seek gaps up to the threshold, with a force that grows below it: minimize ``max(0, threshold - |gap|)^2``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return -(h.threshold - gap.abs()).clamp(min=0).square()

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * (h.threshold - gap.abs()).clamp(min=0) * gap.sign()


@strategy
class Saturate(ThresholdBound):
    """A reward that levels off smoothly: maximize ``threshold^2 tanh(gap^2 / threshold^2)``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return h.threshold.square() * torch.tanh(gap.square() / h.threshold.square())

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap * (1.0 - torch.tanh(gap.square() / h.threshold.square()).square())


@strategy
class Log(ThresholdBound):
    """A reward that grows ever more slowly: maximize ``threshold^2 log(1 + gap^2 / threshold^2)``."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return h.threshold.square() * torch.log1p(gap.square() / h.threshold.square())

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap / (1.0 + gap.square() / h.threshold.square())


@strategy
class Cap(ThresholdBound):
    """Seek large gaps with a penalty above the threshold: maximize ``gap^2 - weight max(0, |gap| - threshold)^2``.

    Args:
        weight: weight of the penalty; above 1, so that a finite gap has the largest reward.
    """

    weight: Annotated[float, Field(gt=1)] = 4.0

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return gap.square() - h.weight * (gap.abs() - h.threshold).clamp(min=0).square()

    @staticmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * (gap - h.weight * (gap.abs() - h.threshold).clamp(min=0) * gap.sign())


GAP_BOUNDS: Registry[type[GapBound]] = Registry(
    "gap_bounds",
    GapBound,
    {
        "none": Unbounded,
        "clip": Clip,
        "target": Target,
        "hinge": Hinge,
        "saturate": Saturate,
        "log": Log,
        "cap": Cap,
    },
)
