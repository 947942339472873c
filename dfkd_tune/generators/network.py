"""A network of one hidden tanh layer, stacked over members and trained by RMSprop: the generator of both papers, or a second clone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.ops.matmul import layer, outer_or_matmul
from dfkd_tune.utils.strategy import Stacked

TANH = ACTIVATIONS["tanh"]
SMOOTHING = 0.99
LAYERS = ("w1", "b1", "w2", "b2")
EPS = 1e-8


class Network:
    """Functions on a stacked state: weights ``w1 (k, Z, H)``, ``b1 (k, 1, H)``, ``w2 (k, H, D)``, ``b2 (k, 1, D)``, each with
    a moving average of its squared gradient and a velocity."""

    @staticmethod
    def init_state(
        noise: int, hidden: int, features: int, rng: torch.Generator, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """One member's state; weights are drawn as in ``nn.Linear``."""

        def uniform(*shape: int, fan_in: int) -> Tensor:
            return ((2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1) / math.sqrt(fan_in)).to(dtype)

        state = {
            "w1": uniform(noise, hidden, fan_in=noise),
            "b1": uniform(1, hidden, fan_in=noise),
            "w2": uniform(hidden, features, fan_in=hidden),
            "b2": uniform(1, features, fan_in=hidden),
        }
        zeros = {f"{kind}_{name}": torch.zeros_like(state[name]) for kind in ("average", "velocity") for name in LAYERS}
        return state | zeros

    @staticmethod
    def answer(state: dict[str, Tensor], z: Tensor) -> Tensor:
        """Inputs ``(k, n, D)`` that the network makes of noise ``(k, n, Z)``."""
        w1, b1, w2, b2 = (state[name] for name in LAYERS)
        return layer(b2[:, 0], TANH.value(layer(b1[:, 0], z, w1, TANH.factor)), w2)

    @staticmethod
    def vjp(state: dict[str, Tensor], z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Outputs ``(k, n, D)`` at ``(k, n, Z)``, and their vector-Jacobian product ``(k, n, D) -> (k, n, Z)``."""
        w1, b1, w2, b2 = (state[name] for name in LAYERS)
        hidden, derivative = TANH.both(layer(b1[:, 0], z, w1, TANH.factor))
        return layer(b2[:, 0], hidden, w2), lambda gradient: torch.bmm(
            outer_or_matmul(gradient, w2).mul_(derivative), w1.mT
        )

    @staticmethod
    def train(
        h: Stacked, state: dict[str, Tensor], z: Tensor, due: Sequence[int], loss_gradient: Callable[[Tensor], Tensor]
    ) -> None:
        """One RMSprop step of the members in ``due``; the other members are computed too but keep their state.

        Args:
            h: stacked hyper-parameters ``lr``, ``weight_decay`` and ``momentum``.
            state: stacked state; its tensors are replaced.
            z: noise ``(k, n, Z)``.
            due: indices of the members to train.
            loss_gradient: maps the network's outputs ``(k, n, D)`` to the gradient of the loss there.
        """
        w1, b1, w2, b2 = (state[name] for name in LAYERS)
        hidden, derivative = TANH.both(layer(b1[:, 0], z, w1, TANH.factor))
        gradient = loss_gradient(layer(b2[:, 0], hidden, w2))
        inner = torch.bmm(gradient, w2.transpose(1, 2)).mul_(derivative)
        gradients = (
            torch.bmm(z.transpose(1, 2), inner),
            inner.sum(1, keepdim=True),
            torch.bmm(hidden.transpose(1, 2), gradient),
            gradient.sum(1, keepdim=True),
        )
        moving = None if len(due) == len(z) else torch.zeros(len(z), 1, 1, dtype=torch.bool, device=z.device)
        if moving is not None:
            moving[list(due)] = True
        for name, old_layer, gradient in zip(LAYERS, (w1, b1, w2, b2), gradients, strict=True):
            gradient = gradient.addcmul_(h.weight_decay, old_layer)
            average, velocity = state[f"average_{name}"], state[f"velocity_{name}"]
            new_average = torch.lerp(average, gradient.square(), 1 - SMOOTHING)
            step = gradient.div_(new_average.sqrt().add_(EPS))
            new_velocity = h.momentum * velocity + step
            new_layer = old_layer - h.lr * new_velocity
            for key, old, new in (
                (f"average_{name}", average, new_average),
                (f"velocity_{name}", velocity, new_velocity),
                (name, old_layer, new_layer),
            ):
                state[key] = new if moving is None else torch.where(moving, new, old)
