"""Layers that only move values: they take no time forward, and put gradients in their places back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer, Pullback


@dataclass(frozen=True)
class Select(Layer):
    """One index of a dimension, which is gone then."""

    dimension: int
    index: int

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].select(self.dimension, self.index)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        (x,) = inputs

        def pull(gradient: Tensor) -> tuple[Tensor, ...]:
            if x.shape[self.dimension] == 1:
                return (gradient.unsqueeze(self.dimension),)
            found = gradient.new_zeros(x.shape)
            found.select(self.dimension, self.index).copy_(gradient)
            return (found,)

        return self.value(x), pull


@dataclass(frozen=True)
class Slice(Layer):
    """Some indices of a dimension."""

    dimension: int
    start: int
    stop: int
    step: int = 1

    def value(self, *inputs: Tensor) -> Tensor:
        return self._of(inputs[0])

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        (x,) = inputs

        def pull(gradient: Tensor) -> tuple[Tensor, ...]:
            if x.shape == gradient.shape:
                return (gradient,)
            found = gradient.new_zeros(x.shape)
            self._of(found).copy_(gradient)
            return (found,)

        return self.value(x), pull

    def _of(self, x: Tensor) -> Tensor:
        return x[(slice(None),) * self.dimension + (slice(self.start, self.stop, self.step),)]


@dataclass(frozen=True)
class Reshape(Layer):
    """The same values in another shape ``(*shape, N)``."""

    shape: tuple[int, ...]

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].reshape(*self.shape, inputs[0].shape[-1])

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        (x,) = inputs
        return self.value(x), lambda gradient: (gradient.reshape(x.shape),)


@dataclass(frozen=True)
class Permute(Layer):
    """The dimensions in another order; the rows stay the last one."""

    order: tuple[int, ...]

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].permute(self.order)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        back = [self.order.index(i) for i in range(len(self.order))]
        return self.value(*inputs), lambda gradient: (gradient.permute(back),)


@dataclass(frozen=True)
class Concatenate(Layer):
    """Several values one after another in a dimension."""

    dimension: int

    def value(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.dimension)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        sizes = [x.shape[self.dimension] for x in inputs]
        return self.value(*inputs), lambda gradient: gradient.split(sizes, self.dimension)


@dataclass(frozen=True)
class Mean(Layer):
    """The mean over some dimensions, which have the size 1 then."""

    dimensions: tuple[int, ...]

    def value(self, *inputs: Tensor) -> Tensor:
        return inputs[0].mean(self.dimensions, keepdim=True)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        shape = inputs[0].shape
        share = 1 / math.prod(shape[i] for i in self.dimensions)
        return self.value(*inputs), lambda gradient: ((gradient * share).expand(shape),)
