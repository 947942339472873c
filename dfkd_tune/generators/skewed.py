"""Prior rows skewed to the right, like counts, amounts and durations: mostly small, sometimes large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import strategy

TOGETHER = 50
"""Rows that share the signs with which their coordinates follow the common factor."""


@strategy
class Skewed(BlockGenerator):
    """Prior rows whose coordinates of unknown shape become lognormal, with mean 0 and variance 1.

    ``(exp(spread z) - m) / s`` for a standard normal ``z``, where ``m`` and ``s`` are mean and standard deviation of the exponential
    (Johnson 1949, system S_L). The median lies below the mean, and the long tail above it.

    Real inputs also move together in ways that are not declared. So a share of the variance may come from one factor common to all
    coordinates. Each coordinate follows it up or down, all steps of a channel alike; the signs are drawn once for ``TOGETHER`` rows.

    Args:
        spread: standard deviation of the logarithm; small values stay close to the prior.
        shared: share of the variance of ``z`` that comes from the common factor. Two coordinates correlate by plus or minus this much.
    """

    spread: Annotated[float, Field(gt=0, le=3)] = 0.7
    shared: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        return self.turn(inputs, inputs.draw(steps * rows, engine), engine).view(steps, rows, len(inputs))

    def turn(self, inputs: Inputs, z: Tensor, engine: torch.Generator) -> Tensor:
        """Transform standardized prior rows ``(N, D)`` into rows of this generator."""
        if self.shared:
            followed = _factor(len(z), inputs.alike, engine).to(z)
            z = torch.where(inputs.shapeless, (1 - self.shared) ** 0.5 * z + self.shared**0.5 * followed, z)
        variance = self.spread**2
        mean = math.exp(variance / 2)
        std = mean * math.sqrt(math.expm1(variance))
        turned = torch.where(inputs.shapeless, (torch.exp(self.spread * z) - mean) / std, z)
        return inputs.project(turned)


def _factor(rows: int, groups: Sequence[Sequence[int]], engine: torch.Generator) -> Tensor:
    """One standard normal factor for each row, with a sign for each group of features that ``TOGETHER`` rows share: ``(rows, D)``."""
    signs = 2.0 * torch.randint(2, (-(-rows // TOGETHER), len(groups)), generator=engine) - 1.0
    group = torch.tensor([g for _, g in sorted((i, g) for g, group in enumerate(groups) for i in group)])
    return torch.randn(rows, 1, generator=engine) * signs[:, group].repeat_interleave(TOGETHER, dim=0)[:rows]
