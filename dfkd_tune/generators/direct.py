"""Direct optimization of synthetic inputs: the proposal of Zhou & Chiam 2023, algorithm 1."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..strategy import Stacked, strategy
from .contest import Contest

SMOOTHING = 0.99


@strategy
class Direct:
    """Ascend from fresh prior rows on ``reward(gap) - gamma S^2`` with a few cold-started RMSprop steps.

    All terms are per row. The published code takes gradients of a mean over ``m = 50`` rows while its weight decay of
    1e-5 is not divided by m: the same steps follow here from a decay of ``50 * 1e-5``.

    Args:
        steps: of ascent.
        step_size: RMSprop learning rate; the first cold step moves every coordinate by ten times as much.
        decay: coupled weight decay on the inputs.
        gamma: penalty on large answers of the student.
    """

    steps: Annotated[int, Field(ge=1, le=1000)] = 2
    step_size: Annotated[float, Field(gt=0)] = 0.1
    decay: Annotated[float, Field(ge=0)] = 5e-4
    gamma: Annotated[float, Field(ge=0)] = 1e-5

    seeks: ClassVar[bool] = True
    travels: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = True

    def start(self, features: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return {}

    @staticmethod
    def draw(h: Stacked, state: dict[str, Tensor], contest: Contest) -> Tensor:
        x, average = contest.origin, None
        for _ in range(h.steps):
            slope = contest.objective_slope(x, h.gamma).neg_().addcmul_(h.decay, x)
            square = slope.square() * (1 - SMOOTHING)
            average = square if average is None else average.mul_(SMOOTHING).add_(square)
            x = contest.contain(x - h.step_size * slope.div_(average.sqrt().add_(1e-8)))
        return x
