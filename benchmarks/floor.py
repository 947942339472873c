"""What one student step of the preset ``paper`` must cost: its matrix products and activations alone, at the rates of this machine.

A member's step draws ``m`` synthetic rows by two ascent steps, labels them, and trains on them beside ``m`` prior rows. The
teacher's answers and input gradients at prior rows come from the pool, so it is asked for the second ascent step and the label.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch

from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.training.problem import Problem

REPEATS = 30


@dataclass(frozen=True)
class Floor:
    """Of one step of one member.

    Args:
        seconds: the products and activations one after another, each at the least time measured at its shape; of a product and its
            transpose, the quicker.
        flops: floating-point operations of the products.
        activations: values of the activation function.
        bytes: read and written by the products and activations, each operand once.
    """

    seconds: float
    flops: int
    activations: int
    bytes: int

    def figures(self) -> dict[str, float]:
        return {f"floor_{name}": value for name, value in asdict(self).items()}


Product = tuple[int, int, int, int]
"""A product as ``(stack, rows, inner, columns)``."""


@dataclass(frozen=True)
class Pass:
    """A pass of a teacher over some rows, forward.

    Args:
        products: its products. The pullback has the same ones with inner and columns exchanged, but for single columns,
            whose outer product is no product.
        values: values of its activation.
        activation: the activation, in place.
    """

    products: list[Product]
    values: int
    activation: Callable[[torch.Tensor], torch.Tensor] = torch.sigmoid_

    @property
    def pullback(self) -> list[Product]:
        return [(stack, rows, columns, inner) for stack, rows, inner, columns in self.products if columns > 1]


def chain(*widths: int, activation: Callable[[torch.Tensor], torch.Tensor] = torch.sigmoid_) -> Callable[[int], Pass]:
    """The pass of a chain of linear layers, over a number of rows."""

    def forward(rows: int) -> Pass:
        sizes = [(1, rows, inner, columns) for inner, columns in pairwise(widths)]
        return Pass(sizes, rows * sum(widths[1:-1]), activation)

    return forward


def products(problem: Problem, recipe: Recipe, members: int, asked: Pass) -> list[Product]:
    """Every product of a step; the teacher's take the rows of all members at once."""
    m, d, h, o = recipe.batch // 2, problem.features, recipe.student.width, problem.outputs
    teacher = 2 * asked.products + asked.pullback  # the second ascent step with its pullback, and the label
    rows = [(m, m)] * 2 + [(2 * m, 2 * m)]  # two ascent steps, then training
    student = []
    for n, _ in rows:
        student += [(members, n, d, h), (members, n, h, o)]
    student += 2 * [(members, m, h, d)]  # pullbacks of the ascent
    student += [(members, h, 2 * m, o), (members, d, 2 * m, h)]  # gradients in the weights
    return teacher + student


def floor_of(problem: Problem, recipe: Recipe, members: int, forward: Callable[[int], Pass] | None = None) -> Floor:
    """The floor of a member's step in a population of ``members``.

    Args:
        problem: the teacher, and the sizes of its rows.
        recipe: with the student and the batch of the preset ``paper``.
        members: number of members that train at once.
        forward: the teacher's pass over a number of rows; by default that of its chain of layers.
    """
    if forward is None:
        layers = problem.teacher.chain.layers
        forward = chain(problem.features, *(len(weight) for weight, _ in layers))
    m = recipe.batch // 2
    asked = forward(members * m)
    seconds, flops, moved = 0.0, 0, 0
    for stack, rows, inner, columns in products(problem, recipe, members, asked):
        seconds += min(_product(stack, rows, inner, columns), _product(stack, columns, inner, rows))
        flops += 2 * stack * rows * inner * columns
        moved += 4 * stack * (rows * inner + inner * columns + rows * columns)
    sizes = [(asked.values, asked.activation)] * 2
    sizes += [(members * n * recipe.student.width, torch.sigmoid_) for n in (m, m, 2 * m)]
    for size, activation in sizes:
        z = torch.randn(size)
        seconds += _least(lambda z=z, activation=activation: activation(z))
    total = sum(size for size, _ in sizes)
    return Floor(seconds / members, flops // members, total // members, (moved + 8 * total) // members)


def _product(stack: int, rows: int, inner: int, columns: int) -> float:
    a, b = torch.randn(stack, rows, inner), torch.randn(stack, inner, columns)
    out = torch.empty(stack, rows, columns)
    return _least(lambda: torch.bmm(a, b, out=out))


def _least(call: Callable) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)
