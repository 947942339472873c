"""Prior rows skewed to the right: what is measured is mostly small and sometimes large, as counts, amounts and durations are."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import strategy

TOGETHER = 50
"""Rows whose coordinates follow a factor in the same directions."""


@strategy
class Skewed(BlockGenerator):
    """Prior rows whose coordinates of unknown shape are turned lognormal, with mean 0 and variance 1.

    ``(exp(spread z) - m) / s`` for a standard normal ``z``, where ``m`` and ``s`` are mean and standard deviation of the exponential
    (Johnson 1949, system S_L): the median lies below the mean and the far tail above it.

    Real inputs also move together, in ways that nobody declared: a share of their variance may come from one factor that all of
    them follow, each up or down, as ``TOGETHER`` rows draw it.

    Args:
        spread: standard deviation of the logarithm; the smaller, the nearer to the prior.
        shared: of the variance of ``z``, what comes from the factor: two coordinates correlate by as much, either way.
    """

    spread: Annotated[float, Field(gt=0, le=3)] = 0.7
    shared: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        return self.turn(inputs, inputs.draw(steps * rows, engine), engine).view(steps, rows, len(inputs))

    def turn(self, inputs: Inputs, z: Tensor, engine: torch.Generator) -> Tensor:
        """Prior rows ``(N, D)``, standardized, as this generator has them."""
        if self.shared:
            followed = _factor(len(z), z.shape[1], engine).to(z)
            z = torch.where(inputs.shapeless, (1 - self.shared) ** 0.5 * z + self.shared**0.5 * followed, z)
        variance = self.spread**2
        mean = math.exp(variance / 2)
        std = mean * math.sqrt(math.expm1(variance))
        turned = torch.where(inputs.shapeless, (torch.exp(self.spread * z) - mean) / std, z)
        return inputs.project(turned)


def _factor(rows: int, features: int, engine: torch.Generator) -> Tensor:
    """A standard normal a row, in every coordinate up or down as its ``TOGETHER`` rows have it: ``(rows, D)``."""
    signs = 2.0 * torch.randint(2, (-(-rows // TOGETHER), features), generator=engine) - 1.0
    return torch.randn(rows, 1, generator=engine) * signs.repeat_interleave(TOGETHER, dim=0)[:rows]
