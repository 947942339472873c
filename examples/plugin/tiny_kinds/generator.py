"""A generator that draws prior rows at one distance from the center."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import strategy


@strategy
class Ring(BlockGenerator):
    """Prior rows, scaled to one root mean square.

    Args:
        radius: root mean square of a row's standardized features.
    """

    radius: Annotated[float, Field(gt=0, le=10)] = 1.0

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        z = inputs.draw(steps * rows, engine)
        z = z * self.radius * math.sqrt(z.shape[1]) / z.norm(dim=1, keepdim=True)
        return inputs.project(z).view(steps, rows, -1)
