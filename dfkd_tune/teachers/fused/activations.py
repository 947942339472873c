"""Activations. On a CPU ``tanh`` costs about six times as much as ``sigmoid``, so it is computed as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dfkd_tune.teachers.fused.base import Layer, Pullback

aten = torch.ops.aten


@dataclass(frozen=True)
class Function:
    """A function of one number.

    Args:
        value: the function.
        pull: maps a gradient, the argument and the value to the gradient in the argument.
        in_place: the function in place, in the memory of its argument; None if ``pull`` reads the argument.
        parameters: PyTorch's default parameters, which it stands for.
    """

    value: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor, Tensor, Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor] | None = None
    parameters: tuple[float, ...] = ()


def _tanh(z: Tensor) -> Tensor:
    return _tanh_in_place(z.clone())


def _tanh_in_place(z: Tensor) -> Tensor:
    return z.mul_(-2.0).sigmoid_().mul_(-2.0).add_(1.0)


FUNCTIONS = {
    "relu": Function(torch.relu, lambda g, z, h: aten.threshold_backward(g, h, 0.0), torch.relu_),
    "sigmoid": Function(torch.sigmoid, lambda g, z, h: aten.sigmoid_backward(g, h), torch.sigmoid_),
    "tanh": Function(_tanh, lambda g, z, h: aten.tanh_backward(g, h), _tanh_in_place),
    "silu": Function(F.silu, lambda g, z, h: aten.silu_backward(g, z)),
    "gelu": Function(F.gelu, lambda g, z, h: aten.gelu_backward(g, z)),
    "elu": Function(F.elu, lambda g, z, h: aten.elu_backward(g, 1.0, 1.0, 1.0, False, z), parameters=(1.0, 1.0, 1.0)),
    "leaky_relu": Function(
        F.leaky_relu, lambda g, z, h: aten.leaky_relu_backward(g, z, 0.01, False), parameters=(0.01,)
    ),
    "softplus": Function(F.softplus, lambda g, z, h: aten.softplus_backward(g, z, 1.0, 20.0), parameters=(1.0, 20.0)),
}
"""The activations with PyTorch's default parameters, by the names of their operators."""


@dataclass(frozen=True)
class Activation(Layer):
    """One of ``FUNCTIONS``, in the memory of its input if ``in_place``."""

    name: str
    in_place: bool = False

    overwritable: ClassVar[bool] = False  # its pullback may read its value

    def value(self, *inputs: Tensor) -> Tensor:
        function = FUNCTIONS[self.name]
        return (function.in_place if self.in_place and function.in_place else function.value)(*inputs)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        (z,) = inputs
        function, h = FUNCTIONS[self.name], self.value(z)
        return h, lambda gradient: (function.pull(gradient, z, h),)

    def overwriting(self) -> Layer | None:
        return replace(self, in_place=True) if FUNCTIONS[self.name].in_place else None
