"""A generator network trained against the student: Kang & Kang 2021."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..activations import ACTIVATIONS
from ..strategy import Stacked, strategy
from .contest import Contest

SMOOTHING = 0.99
LAYERS = ("w1", "b1", "w2", "b2")


@strategy
class Adversarial:
    """``noise -> hidden tanh -> D``, trained by RMSprop to minimize ``-reward(gap) + beta |x|^2 + gamma S^2``.

    All terms are per row. The published regularizer sums ``|x|^2`` over the batch of 50 before it is averaged: the
    same objective follows here from ``beta = 50 * 1e-5``.

    Args:
        noise: width of the input of the network.
        hidden: its hidden units.
        lr, weight_decay: of its RMSprop.
        every: student steps between two of its own (an epoch in the papers).
        beta, gamma: penalties on far inputs and on large answers of the student.
    """

    noise: Annotated[int, Field(ge=1, le=10_000)] = 50
    hidden: Annotated[int, Field(ge=1, le=100_000)] = 500
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    every: Annotated[int, Field(ge=1)] = 10
    beta: Annotated[float, Field(ge=0)] = 5e-4
    gamma: Annotated[float, Field(ge=0)] = 1e-5

    seeks: ClassVar[bool] = True
    travels: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = True

    def start(self, features: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        def uniform(*shape: int, fan_in: int) -> Tensor:
            return ((2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1) / math.sqrt(fan_in)).to(dtype)

        state = {
            "w1": uniform(self.noise, self.hidden, fan_in=self.noise),
            "b1": uniform(1, self.hidden, fan_in=self.noise),
            "w2": uniform(self.hidden, features, fan_in=self.hidden),
            "b2": uniform(1, features, fan_in=self.hidden),
        }
        return state | {f"average_{name}": torch.zeros_like(state[name]) for name in LAYERS}

    @staticmethod
    def draw(h: Stacked, state: dict[str, Tensor], contest: Contest) -> Tensor:
        due = [k for k, clock in enumerate(contest.clocks) if clock % h.every == 0]
        if due:
            _train(h, state, contest, due)
        rows = contest.origin.shape[1]
        with torch.no_grad():
            return contest.project(
                _network([state[name] for name in LAYERS], _noise(h, contest, range(len(contest.rngs)), rows))
            )


def _noise(h: Stacked, contest: Contest, members, rows: int) -> Tensor:
    like = contest.origin
    draws = [
        torch.randn(rows, h.noise, generator=contest.rngs[k], dtype=like.dtype, device=contest.rngs[k].device)
        for k in members
    ]
    return torch.stack(draws).to(like.device)


def _network(layers: list[Tensor], z: Tensor) -> Tensor:
    w1, b1, w2, b2 = layers
    return torch.baddbmm(b2, ACTIVATIONS["tanh"].value(torch.baddbmm(b1, z, w1)), w2)


def _train(h: Stacked, state: dict[str, Tensor], contest: Contest, due: list[int]) -> None:
    """One generator step of the members in ``due``; the others are computed along and left as they are."""
    members = range(len(contest.rngs))
    z = torch.zeros(
        len(contest.rngs), contest.origin.shape[1], h.noise, dtype=contest.origin.dtype, device=contest.origin.device
    )
    z[due] = _noise(h, contest, due, z.shape[1])
    w1, b1, w2, b2 = (state[name] for name in LAYERS)
    h1, derivative = ACTIVATIONS["tanh"].both(torch.baddbmm(b1, z, w1))
    x = torch.baddbmm(b2, h1, w2)
    slope = (2.0 * h.beta * x - contest.objective_slope(x, h.gamma)) / x.shape[1]
    hidden = torch.bmm(slope, w2.transpose(1, 2)).mul_(derivative)
    slopes = (
        torch.bmm(z.transpose(1, 2), hidden),
        hidden.sum(1, keepdim=True),
        torch.bmm(h1.transpose(1, 2), slope),
        slope.sum(1, keepdim=True),
    )
    moving = torch.zeros(len(members), 1, 1, dtype=z.dtype, device=z.device)
    moving[due] = 1.0
    for name, layer, slope in zip(LAYERS, (w1, b1, w2, b2), slopes, strict=True):
        slope = slope + h.weight_decay * layer
        average = state[f"average_{name}"]
        fresh = SMOOTHING * average + (1 - SMOOTHING) * slope.square()
        state[f"average_{name}"] = torch.where(moving > 0, fresh, average)
        state[name] = torch.where(moving > 0, layer - h.lr * slope / (fresh.sqrt() + 1e-8), layer)
