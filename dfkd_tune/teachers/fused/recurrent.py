"""What recurrent layers share: the windows that they read, and which states they return."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer
from dfkd_tune.teachers.fused.views import Select, Slice


@dataclass(frozen=True)
class Recurrent(Layer):
    """One recurrent layer from windows ``(T, C, N)`` to the states after each step ``(T, H, N)``, or to the last one ``(1, H, N)``.

    Args:
        weight_ih: weights ``(G, C + 1)`` of the channels and of a channel of ones, which holds the bias.
        weight_hh: weights of the states, ``(_, H)``.
        steps: number of steps T.
        last: whether only the state after the last step is returned.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    steps: int
    last: bool = False

    @property
    def units(self) -> int:
        """Number of units H."""
        return self.weight_hh.shape[1]

    @classmethod
    @abstractmethod
    def of(cls, weights: Sequence[Tensor], steps: int) -> Recurrent:
        """The layer with the weights ``(G, C)`` and ``(G, H)`` and both biases ``(G,)`` of PyTorch's layer."""

    def windows(self, x: Tensor) -> Tensor:
        """The windows with a channel of ones, ``(T, C + 1, N)``."""
        steps, channels, rows = x.shape
        made = x.new_ones(steps, channels + 1, rows)
        made[:, :channels] = x
        return made

    def later(self, gradient: Tensor, step: int, back: Tensor) -> Tensor:
        """The gradient ``(H, N)`` in the state after a step: ``back`` from the next one, and that of the value."""
        return back if self.last else back.add_(gradient[step])

    def without_unused(self, users: Sequence[Layer]) -> tuple[Layer, list[Layer | None]] | None:
        ends: list[Layer | None] = []
        for each in users:
            if each == Select(0, self.steps - 1):
                ends.append(Select(0, 0))
            elif each == Slice(0, self.steps - 1, self.steps):
                ends.append(None)
            else:
                return None
        return (replace(self, last=True), ends) if ends and not self.last else None


def blocks(buffers: Tensor, units: int, places: Sequence[tuple[int, int]]) -> list[tuple[Tensor, ...]]:
    """For each step of buffers ``(T, _, N)``: the buffer, and its blocks of units from one place to another.

    All are views, which are made here at once, because each takes as long as a small operation.
    """
    parts = (buffers[:, first * units : last * units].unbind() for first, last in places)
    return list(zip(buffers.unbind(), *parts, strict=True))


def backward_sigmoid(gradient: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """``gradient * value * (1 - value)`` in one pass."""
    return torch.ops.aten.sigmoid_backward.grad_input(gradient, value, grad_input=out)
