"""Prior rows with heavier tails: nobody said that the tails of the real inputs are normal, and they seldom are."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..inputs import Inputs
from ..strategy import strategy
from .sampled import Sampled


@strategy
class StudentT(Sampled):
    """Prior rows, their coordinates of undeclared range divided by ``sqrt(chi^2 / (freedom - 2))``: as wide on average.

    Args:
        freedom: degrees of freedom of the Student t; its variance is finite above 2.
        over: one chi^2 a ``row``, which keeps its direction, one a ``coordinate``, or one of each, ``both``.
    """

    freedom: Annotated[int, Field(ge=3, le=1_000)] = 4
    over: Literal["row", "coordinate", "both"] = "both"

    def engine(self, features: int, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def block(self, inputs: Inputs, steps: int, rows: int, engine: torch.Generator) -> Tensor:
        z = inputs.draw(steps * rows, engine)
        stretched = z
        for over, width in (("row", 1), ("coordinate", len(inputs))):
            if self.over in (over, "both"):
                square = torch.randn(self.freedom, len(z), width, generator=engine, dtype=z.dtype).square().sum(0)
                stretched = stretched * ((self.freedom - 2) / square).sqrt()
        unknown = inputs.low.isinf() & inputs.high.isinf()
        return inputs.project(torch.where(unknown, stretched, z)).view(steps, rows, len(inputs))
