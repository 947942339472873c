"""Data impressions: a network that inverts the teacher at random targets (the baseline of Kang & Kang 2021)."""

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
class Impressions(StepGenerator):
    """``(noise, y) -> hidden tanh -> D``, trained to minimize ``(T(G(noise, y)) - y)^2 + delta KL(rows || prior)``, ``y ~ N(0, 1)``.

    ``y`` is the target in the teacher's standard deviations around its mean. The KL divergence compares, for each feature, a normal
    distribution with the batch's mean and variance to the standardized prior: ``(mean^2 + var - 1 - log var) / 2``.
    The published code draws the target but never passes it to its network; here the network takes it as input.

    Args:
        noise, hidden, lr, weight_decay, every, turns, momentum: settings of the network, as in ``adversarial``.
        delta: weight of the KL divergence.
    """

    noise: Annotated[int, Field(ge=1, le=10_000)] = 50
    hidden: Annotated[int, Field(ge=1, le=100_000)] = 500
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    every: Annotated[int, Field(ge=1)] = 10
    turns: Annotated[int, Field(ge=1)] = 1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    delta: Annotated[float, Field(ge=0)] = 0.1

    needs_gradients: ClassVar[bool] = True

    @property
    def network_units(self) -> int:
        """Hidden units of the generator network."""
        return self.hidden

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return Network.init_state(self.noise + outputs, self.hidden, features, rng, dtype)

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        rows, outputs = context.origin_values.shape[1:]
        for due in context.due(h.every, h.turns):
            z = context.noise(rows, outputs + h.noise, due)
            Network.train(h, state, z, due, lambda x, z=z: _gradient(h, context, x, z[..., :outputs]))
        return context.feasible(Network.answer(state, context.noise(rows, outputs + h.noise)))


def _gradient(h: Stacked, context: GeneratorContext, x: Tensor, y: Tensor) -> Tensor:
    """Gradient ``(k, G, D)`` of the loss, a mean over rows, with respect to the network's output."""
    rows = x.shape[1]
    values, pull = context.values(context.feasible(x))
    fit = -context.inward(x, pull(2.0 * (y - values) / (rows * values.shape[-1])))
    mean = x.mean(1, keepdim=True)
    variance = x.var(1, keepdim=True, unbiased=False).clamp(min=1e-6)
    divergence = (mean + (1.0 - 1.0 / variance) * (x - mean)) / rows
    return fit + h.delta * divergence
