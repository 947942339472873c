"""Where inputs may lie, in standardized units."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """What is declared of where inputs may lie, in standardized units.

    Args:
        low, high: ``(D,)`` edges of the declared ranges, infinite where none is declared.
        precision: ``(D, D)`` inverse covariance of the prior.
    """

    low: Tensor
    high: Tensor
    precision: Tensor
