"""Sums and products of values, and normalizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer, Pullback


@dataclass(frozen=True)
class Affine(Layer):
    """``shift + scale * x``; both have as many dimensions as ``x``, and sizes of its own or 1."""

    scale: Tensor
    shift: Tensor

    overwritable: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return torch.addcmul(self.shift, inputs[0], self.scale)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        return self.value(*inputs), lambda gradient: (gradient * self.scale,)


@dataclass(frozen=True)
class Add(Layer):
    """``x + factor * y``, of one shape."""

    factor: float = 1.0

    overwritable: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        return torch.add(*inputs, alpha=self.factor)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        return self.value(*inputs), lambda gradient: (
            gradient,
            gradient if self.factor == 1.0 else self.factor * gradient,
        )


@dataclass(frozen=True)
class Multiply(Layer):
    """``x * y``, of one shape."""

    overwritable: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        x, y = inputs
        return x * y

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        x, y = inputs
        return x * y, lambda gradient: (gradient * y, gradient * x)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """``torch.nn.LayerNorm`` over the dimension before the rows, without its weights."""

    eps: float

    overwritable: ClassVar[bool] = False  # its pullback reads its value

    def value(self, *inputs: Tensor) -> Tensor:
        return self._normalized(inputs[0])[0]

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        value, root = self._normalized(inputs[0])

        def pull(gradient: Tensor) -> tuple[Tensor, ...]:
            along = (gradient * value).mean(-2, keepdim=True)
            rest = gradient - gradient.mean(-2, keepdim=True)
            return (rest.addcmul_(value, along, value=-1.0).mul_(root),)

        return value, pull

    def _normalized(self, x: Tensor) -> tuple[Tensor, Tensor]:
        centered = x - x.mean(-2, keepdim=True)
        root = (centered.square().mean(-2, keepdim=True) + self.eps).rsqrt_()
        return centered.mul_(root), root
