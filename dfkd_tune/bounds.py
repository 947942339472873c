"""Bounds: which gap is worth seeking, and how far inputs may travel.

Notation: ``gap = T(x) - S(x)`` in units of the teacher's standard deviation, shape ``(k, G, O)`` for k members,
G synthetic rows, O outputs; ``x`` and its starting point ``origin``, shape ``(k, G, D)`` in standardized units.
Every method takes the stacked hyper-parameters ``h`` (floats as ``(k, 1, 1)``) of members with one structure. A difference
bound gives the ``reward`` of a gap, which generators maximize, and its ``slope``, the derivative of the reward.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .strategy import Stacked, strategy

Positive = Annotated[float, Field(gt=0)]


@strategy
class Unbounded:
    """Seek the largest gap: maximize ``gap^2`` (Zhou & Chiam 2023, eq. 7)."""

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return gap.square()

    @staticmethod
    def slope(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap


@strategy
class Clip:
    """Stop seeking beyond the threshold: maximize ``min(gap^2, threshold^2)``.

    Args:
        threshold: in units of the teacher's standard deviation.
    """

    threshold: Positive = 0.5

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return torch.minimum(gap.square(), h.threshold.square())

    @staticmethod
    def slope(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * gap * (gap.abs() < h.threshold)


@strategy
class Target:
    """Seek a gap of one size: minimize ``(|gap| - threshold)^2``; the only bound here that limits what is reached.

    Args:
        threshold: in units of the teacher's standard deviation.
    """

    threshold: Positive = 0.5

    @staticmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        return -(gap.abs() - h.threshold).square()

    @staticmethod
    def slope(h: Stacked, gap: Tensor) -> Tensor:
        return 2.0 * (h.threshold * gap.sign() - gap)


@strategy
class Steps:
    """The paper's input bound: nothing but the number and size of the ascent steps and their decay."""

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor) -> Tensor:
        return x


@strategy
class Linf:
    """Keep every coordinate within ``radius`` of where it was drawn: ``origin + clip(x - origin, -radius, radius)``.

    Args:
        radius: in standard deviations of the feature. Two cold RMSprop steps of 0.1 travel about 1.7.
    """

    radius: Positive = 1.0

    @staticmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor) -> Tensor:
        return torch.clamp(x, origin - h.radius, origin + h.radius)


BOUNDS = {"none": Unbounded, "clip": Clip, "target": Target}

INPUT_BOUNDS = {"steps": Steps, "linf": Linf}
