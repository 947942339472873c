"""Optimizers of the student. All are one update with different coefficients, so that members with any of them share a pass.

``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``, ``w -= lr (m / c1) / (sqrt(v / c2) + eps)`` with ``g`` the
gradient plus ``weight_decay * w`` (coupled, as in torch.optim). RMSprop is ``b1 = 0, c1 = c2 = 1``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.recipes.base import Optimizer, Schedule
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import Numbers, strategy

Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
EPS = 1e-8


@strategy
class RMSprop(Optimizer):
    """``torch.optim.RMSprop``, the optimizer of both papers.

    Args:
        lr: learning rate.
        weight_decay: coupled L2 penalty.
        schedule: schedule of the learning rate over the run.
        smoothing: decay of the moving average of the squared gradient.
    """

    lr: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    schedule: Schedule = "constant"
    smoothing: Fraction = 0.99

    def betas(self) -> tuple[float, float]:
        return 0.0, self.smoothing

    def corrections(self, step: Numbers) -> tuple[Numbers, Numbers]:
        return 1.0, 1.0


@strategy
class Adam(Optimizer):
    """``torch.optim.Adam`` (Kingma & Ba 2015).

    Args:
        lr: learning rate.
        weight_decay: coupled L2 penalty.
        schedule: schedule of the learning rate over the run.
        beta1, beta2: decay of the moving averages of the gradient and the squared gradient.
    """

    lr: Rate = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Schedule = "constant"
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999

    def betas(self) -> tuple[float, float]:
        return self.beta1, self.beta2

    def corrections(self, step: Numbers) -> tuple[Numbers, Numbers]:
        return 1.0 - self.beta1 ** (step + 1), 1.0 - self.beta2 ** (step + 1)


@strategy
class AdamW(Adam):
    """``torch.optim.AdamW`` (Loshchilov & Hutter 2019), whose weights shrink by ``lr weight_decay`` in each step, with a moving average.

    The average (Polyak & Juditsky 1992) is ``a <- d a + (1 - d) w`` with ``d = min(averaging, (1 + t) / (10 + t))`` at step t.

    Args:
        lr: learning rate.
        weight_decay: decoupled decay.
        schedule: schedule of the learning rate over the run.
        beta1, beta2: decay of the moving averages of the gradient and the squared gradient.
        averaging: decay of the moving average of the weights, which is then measured and kept; 0 for none.
    """

    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    averaging: Fraction = 0.0

    @property
    def coupled_decay(self) -> float:
        return 0.0

    @property
    def decoupled_decay(self) -> float:
        return self.weight_decay

    @property
    def average_decay(self) -> float:
        return self.averaging


def average_share(decay: float, step: Numbers) -> Numbers:
    """Share of the current weights in their moving average at ``step``; 1 without an average."""
    if not decay:
        return 0.0 * step + 1.0
    return 1.0 - np.minimum(decay, (1.0 + step) / (10.0 + step))


def rate_at(optimizer: Optimizer, step: Numbers, steps: int) -> Numbers:
    """Learning rate at ``step`` of ``steps``; the cosine schedule ends at 0 (Loshchilov & Hutter 2017, without restarts)."""
    if optimizer.schedule == "cosine":
        return 0.5 * optimizer.lr * (1.0 + np.cos(np.pi * step / steps))
    return optimizer.lr


def update(w: Tensor, g: Tensor, m: Tensor, v: Tensor, c: dict[str, Tensor]) -> None:
    """Update weights ``(K, P)`` in place.

    Args:
        w, g, m, v: weights, gradients, first and second moments, each ``(K, P)``; ``g`` is overwritten.
        c: ``(K, 1)`` coefficients: ``shrink``, one minus the decoupled decay; ``keep1 = 1 - b1``, ``keep2 = 1 - b2``, ``decay``, and with ``rate = lr / c1`` the step's
            denominator ``root * sqrt(v) + eps``, where ``root = 1 / (sqrt(c2) rate)`` and ``eps = EPS / rate``.
    """
    g.addcmul_(c["decay"], w)
    if "shrink" in c:
        w.mul_(c["shrink"])
    m.lerp_(g, c["keep1"])
    v.lerp_(g.square_(), c["keep2"])
    w.addcdiv_(m, torch.addcmul(c["eps"], c["root"], v.sqrt()), value=-1.0)


OPTIMIZERS: Registry[type[Optimizer]] = Registry(
    "optimizers", Optimizer, {"rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}
)
