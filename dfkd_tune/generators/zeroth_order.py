"""Direct optimization for teachers without gradients: their slopes are estimated along random directions."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.ascent import Ascent, ascend
from dfkd_tune.generators.context import Contest
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class ZerothOrder:
    """``direct`` with the teacher's gradient estimated as ``D / n sum_i (T(x + delta u_i) - T(x)) / delta u_i``, u on the unit sphere.

    Random directions as in Nesterov & Spokoiny 2017; the student's gradient is exact. A step costs ``directions + 1``
    teacher rows.

    Args:
        directions: n, finite differences a row.
        delta: their length, in standard deviations of the features.
        steps, step_size, decay, gamma, ascent: as in ``direct``.
    """

    directions: Annotated[int, Field(ge=1, le=10_000)] = 4
    delta: Annotated[float, Field(gt=0)] = 0.05
    steps: Annotated[int, Field(ge=1, le=1000)] = 2
    step_size: Annotated[float, Field(gt=0)] = 0.1
    decay: Annotated[float, Field(ge=0)] = 5e-4
    gamma: Annotated[float, Field(ge=0)] = 1e-5
    ascent: Ascent = "rmsprop"

    seeks: ClassVar[bool] = True
    travels: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = False

    def start(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return {}

    @staticmethod
    def draw(h: Stacked, state: dict[str, Tensor], contest: Contest) -> Tensor:
        return ascend(h, contest, lambda x: _uphill(h, contest, x))


def _uphill(h: Stacked, contest: Contest, x: Tensor) -> Tensor:
    k, rows, features = x.shape
    values = contest.origin_values if x is contest.origin else contest.ask(x)
    directions = contest.noise(h.directions * rows, features).view(k, h.directions, rows, features)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    near = contest.project(x.unsqueeze(1) + h.delta.unsqueeze(1) * directions)
    moved = near - x.unsqueeze(1)  # less or more than asked for where inputs are declared
    square = moved.square().sum(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    change = contest.ask(near.view(k, -1, features)).view(k, h.directions, rows, -1) - values.unsqueeze(1)

    def pull(slope: Tensor) -> Tensor:
        along = (change * slope.unsqueeze(1)).sum(-1, keepdim=True)
        return features * (along * moved / square).mean(1)

    return contest.objective_slope(x, h.gamma, (values, pull))
