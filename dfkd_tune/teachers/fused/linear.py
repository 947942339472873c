"""A linear layer, of every step alike if its input has steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer, Pullback


@dataclass(frozen=True)
class Linear(Layer):
    """``weight @ x + bias``.

    Args:
        weight: ``(out, in)``.
        bias: ``(out, 1)``.
    """

    weight: Tensor
    bias: Tensor

    overwritable: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        if x.dim() == 2:
            return torch.addmm(self.bias, self.weight, x)
        steps = x.flatten(0, -3)
        return torch.baddbmm(self.bias, every(self.weight, steps), steps).unflatten(0, x.shape[:-2])

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        return self.value(*inputs), self._pull

    def _pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        if len(self.weight) == 1:
            return (self.weight.mT * gradient,)
        if gradient.dim() == 2:
            return (torch.mm(self.weight.mT, gradient),)
        steps = gradient.flatten(0, -3)
        return (torch.bmm(every(self.weight.mT, steps), steps).unflatten(0, gradient.shape[:-2]),)

    def scaled(self, scale: Tensor, shift: Tensor) -> Layer | None:
        if scale.dim() != 2:  # the channels are steps
            return None
        return Linear(scale * self.weight, scale * self.bias + shift)


def every(weight: Tensor, steps: Tensor) -> Tensor:
    """A weight ``(out, in)`` as the batch of one for each of the steps ``(T, in, N)``, without a copy."""
    return weight.expand(len(steps), -1, -1)
