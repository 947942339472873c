"""Prior rows skewed to the right: what is measured is mostly small and sometimes large, as counts, amounts and durations are."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..inputs import Inputs
from ..strategy import strategy
from .sampled import Sampled


@strategy
class Skewed(Sampled):
    """Prior rows whose coordinates of undeclared range are turned lognormal, with mean 0 and variance 1.

    ``(exp(spread z) - m) / s`` for a standard normal ``z``, where ``m`` and ``s`` are mean and standard deviation of the exponential
    (Johnson 1949, system S_L): the median lies below the mean and the far tail above it.

    Args:
        spread: standard deviation of the logarithm; the smaller, the nearer to the prior.
    """

    spread: Annotated[float, Field(gt=0, le=3)] = 0.7

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        z = inputs.draw(steps * rows, engine)
        variance = self.spread**2
        mean = math.exp(variance / 2)
        std = mean * math.sqrt(math.expm1(variance))
        turned = torch.where(inputs.open_ended, (torch.exp(self.spread * z) - mean) / std, z)
        return inputs.project(turned).view(steps, rows, len(inputs))
