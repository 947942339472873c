"""``ProgramBuilder``: adds layers to a program, and evaluates each on an example to find the shape of its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer
from dfkd_tune.teachers.fused.program import Step
from dfkd_tune.teachers.fused.views import Concatenate, Reshape, Slice

ROWS = 2
"""Number of rows of the example."""


class NotFused(Exception):
    """A graph has a part that no layer stands for."""


class Count:
    """The number of rows, as a value of a graph."""


class Zeros:
    """A tensor of zeros with a dimension of rows, as a value of a graph."""


@dataclass(frozen=True)
class Value:
    """A value of a graph that depends on the rows.

    Args:
        number: its number in the program.
        example: the value for ``ROWS`` rows, ``(..., ROWS)``.
        rows: the dimension of the rows in PyTorch's order.
    """

    number: int
    example: Tensor
    rows: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes without the rows."""
        return tuple(self.example.shape[:-1])

    def dimension(self, own: object) -> int:
        """The place of PyTorch's dimension ``own`` among the sizes without the rows.

        Raises:
            NotFused: it is the dimension of the rows, or no number.
        """
        if not isinstance(own, int):
            raise NotFused
        own %= self.example.dim()
        if own == self.rows:
            raise NotFused
        return own - (own > self.rows)


class ProgramBuilder:
    """The steps of a program that have been added so far.

    Args:
        width: number of columns D of a row.
        dtype: dtype of a row.
    """

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        rng = torch.Generator().manual_seed(0)
        self.steps: list[Step] = []
        self.start = Value(0, torch.randn(width, ROWS, generator=rng, dtype=torch.float64).to(dtype))

    def add(self, layer: Layer, *inputs: Value, rows: int = 0) -> Value:
        """Add a layer, and return its value.

        Args:
            layer: the layer.
            inputs: the values that it takes.
            rows: the dimension of the rows in PyTorch's order.
        """
        self.steps.append(Step(layer, tuple(each.number for each in inputs)))
        return Value(len(self.steps), layer.value(*(each.example.clone() for each in inputs)), rows)

    def arguments(self, shapes: Sequence[tuple[int, ...]]) -> list[Value]:
        """The teacher's arguments of these shapes, without the rows; their values follow each other in a row."""
        if shapes == [self.start.shape]:
            return [self.start]
        found, first = [], 0
        for shape in shapes:
            last = first + math.prod(shape)
            part = self.add(Slice(0, first, last), self.start) if len(shapes) > 1 else self.start
            found.append(self.add(Reshape(shape), part))
            first = last
        return found

    def outputs(self, values: Sequence[object]) -> Value:
        """All outputs as columns of one value ``(O, ROWS)``.

        Raises:
            NotFused: an output does not depend on the rows, or its rows do not come first.
        """
        flat = []
        for each in values:
            if not isinstance(each, Value) or each.rows or each.number == 0:
                raise NotFused
            flat.append(each if len(each.shape) == 1 else self.add(Reshape((math.prod(each.shape),)), each))
        return flat[0] if len(flat) == 1 else self.add(Concatenate(0), *flat)
