"""Prior rows with heavier tails: nobody said that the tails of the real inputs are normal, and they seldom are."""

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
    """Prior rows, each row and each of its coordinates of undeclared range scaled by a lognormal factor of mean square 1.

    Most rows come near the center and a few have features far out, as wide on average as the prior.

    Args:
        spread: standard deviation of the logarithm of a factor; 0 draws from the prior.
    """

    spread: Annotated[float, Field(ge=0, le=3)] = 0.8

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        return self.turn(inputs, inputs.draw(steps * rows, engine), engine).view(steps, rows, len(inputs))

    def turn(self, inputs: Inputs, z: Tensor, engine: torch.Generator) -> Tensor:
        """Prior rows ``(N, D)``, standardized, as this generator has them."""
        of_row = torch.randn(len(z), 1, generator=engine, dtype=z.dtype)
        logs = of_row + torch.randn(len(z), len(inputs), generator=engine, dtype=z.dtype)
        stretched = torch.where(inputs.open_ended, z * torch.exp(self.spread * logs - 2 * self.spread**2), z)
        return inputs.project(stretched)
