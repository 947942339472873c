"""Direct optimization for teachers without gradients, which it estimates along random directions."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.ascending.ascent import Ascending, ascend
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class ZerothOrder(Ascending):
    """``direct`` with the teacher's gradient estimated as ``D / n sum_i (T(x + delta u_i) - T(x)) / delta u_i``, u on the unit sphere.

    The directions are random as in Nesterov & Spokoiny 2017; the student's gradient is exact. A step queries
    ``directions + 1`` teacher rows.

    Args:
        directions: number n of finite differences for each row.
        delta: length of a finite difference, in standard deviations of the features.
        steps, step_size, decay, gamma, ascent: as in ``direct``.
    """

    directions: Annotated[int, Field(ge=1, le=10_000)] = 4
    delta: Annotated[float, Field(gt=0)] = 0.05

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        return ascend(h, context, lambda x: _uphill(h, context, x))


def _uphill(h: Stacked, context: GeneratorContext, x: Tensor) -> Tensor:
    k, rows, features = x.shape
    values = context.origin_values if x is context.origin else context.query(x)
    directions = context.noise(h.directions * rows, features).view(k, h.directions, rows, features)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    near = context.project(x.unsqueeze(1) + h.delta.unsqueeze(1) * directions)
    moved = context.present(near - x.unsqueeze(1))  # differs from delta if the projection moved the row
    square = moved.square().sum(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    change = context.query(near.view(k, -1, features)).view(k, h.directions, rows, -1) - values.unsqueeze(1)

    def pull(gradient: Tensor) -> Tensor:
        along = (change * gradient.unsqueeze(1)).sum(-1, keepdim=True)
        return features * (along * moved / square).mean(1)

    return context.objective_gradient(x, h.gamma, (values, pull))
