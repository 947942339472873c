"""A generator network trained against the student: Kang & Kang 2021."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.generators.network import Network
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Adversarial(StepGenerator):
    """``noise -> hidden tanh -> D``, trained by RMSprop to minimize ``-reward(gap) + beta |x|^2 + gamma S^2``.

    All terms are per row. The published regularizer sums ``|x|^2`` over the batch of 50 before it is averaged;
    ``beta = 50 * 1e-5`` gives the same objective here.

    Args:
        noise: width of the noise that the network takes as input.
        hidden: hidden units of the network.
        lr, weight_decay, momentum: settings of the network's RMSprop optimizer.
        every: student steps between two updates of the network (an epoch in the papers).
        turns: optimizer steps in one update (``n_g`` in the papers).
        beta, gamma: penalties on inputs far from the center and on large student outputs.
    """

    noise: Annotated[int, Field(ge=1, le=10_000)] = 50
    hidden: Annotated[int, Field(ge=1, le=100_000)] = 500
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    every: Annotated[int, Field(ge=1)] = 10
    turns: Annotated[int, Field(ge=1)] = 1
    beta: Annotated[float, Field(ge=0)] = 5e-4
    gamma: Annotated[float, Field(ge=0)] = 1e-5

    uses_gap: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = True

    @property
    def network_units(self) -> int:
        """Hidden units of the generator network."""
        return self.hidden

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return Network.init_state(self.noise, self.hidden, features, rng, dtype)

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        rows = context.origin.shape[1]

        def gradient(x: Tensor) -> Tensor:
            uphill = context.inward(x, context.objective_gradient(context.feasible(x), h.gamma))
            return (2.0 * h.beta * x - uphill) / rows

        for due in context.due(h.every, h.turns):
            Network.train(h, state, context.noise(rows, h.noise, due), due, gradient)
        return context.feasible(Network.answer(state, context.noise(rows, h.noise)))
