"""Prior rows with heavier tails: real inputs seldom have normal tails."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import strategy


@strategy
class HeavyTailed(BlockGenerator):
    """Prior rows scaled by lognormal factors of mean square 1: one for the row, one for each coordinate without a declared range.

    Most rows lie near the center and a few have features far out; the variance is that of the prior.

    Args:
        spread: standard deviation of a factor's logarithm; 0 gives the prior.
    """

    spread: Annotated[float, Field(ge=0, le=3)] = 0.8

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        return self.turn(inputs, inputs.draw(steps * rows, engine), engine).view(steps, rows, len(inputs))

    def turn(self, inputs: Inputs, z: Tensor, engine: torch.Generator) -> Tensor:
        """Transform standardized prior rows ``(N, D)`` into rows of this generator."""
        of_row = torch.randn(len(z), 1, generator=engine, dtype=z.dtype)
        logs = of_row + torch.randn(len(z), len(inputs), generator=engine, dtype=z.dtype)
        stretched = torch.where(inputs.open_ended, z * torch.exp(self.spread * logs - 2 * self.spread**2), z)
        return inputs.project(stretched)
