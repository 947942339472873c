"""The region in which synthetic inputs must lie, in standardized units."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """The declared region of the inputs, in standardized units.

    Args:
        low, high: ``(D,)`` ends of the declared ranges; infinite where no range is declared.
        precision: ``(D, D)`` inverse covariance of the prior.
    """

    low: Tensor
    high: Tensor
    precision: Tensor
