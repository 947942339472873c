"""What one student step of the preset ``paper`` must cost: its matrix products and activations alone, at the rates of this machine.

A member's step draws ``m`` synthetic rows by two ascent steps, labels them, and trains on them beside ``m`` prior rows. The
teacher's answers and input gradients at prior rows come from the pool, so it is asked for the second ascent step and the label.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

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


def products(problem: Problem, recipe: Recipe, members: int) -> list[tuple[int, int, int, int]]:
    """Every product of a step as ``(stack, rows, inner, columns)``; the teacher's take the rows of all members at once."""
    m, d, h, o = recipe.batch // 2, problem.features, recipe.student.width, problem.outputs
    wide = problem.teacher.chain.layers[0][0].shape[0]
    asked = members * m
    forward = [(1, asked, d, wide), (1, asked, wide, o)]
    teacher = 2 * forward + [(1, asked, wide, d)]  # the second ascent step with its pullback, and the label
    rows = [(m, m)] * 2 + [(2 * m, 2 * m)]  # two ascent steps, then training
    student = []
    for n, _ in rows:
        student += [(members, n, d, h), (members, n, h, o)]
    student += 2 * [(members, m, h, d)]  # pullbacks of the ascent
    student += [(members, h, 2 * m, o), (members, d, 2 * m, h)]  # gradients in the weights
    return teacher + student


def activations(problem: Problem, recipe: Recipe, members: int) -> list[int]:
    """Sizes of the activations of a step."""
    m, wide = recipe.batch // 2, problem.teacher.chain.layers[0][0].shape[0]
    return 2 * [members * m * wide] + [members * n * recipe.student.width for n in (m, m, 2 * m)]


def floor_of(problem: Problem, recipe: Recipe, members: int) -> Floor:
    """The floor of a member's step in a population of ``members``."""
    seconds, flops, moved = 0.0, 0, 0
    for stack, rows, inner, columns in products(problem, recipe, members):
        seconds += min(_product(stack, rows, inner, columns), _product(stack, columns, inner, rows))
        flops += 2 * stack * rows * inner * columns
        moved += 4 * stack * (rows * inner + inner * columns + rows * columns)
    sizes = activations(problem, recipe, members)
    for size in sizes:
        z = torch.randn(size)
        seconds += _least(lambda z=z: torch.sigmoid_(z))
    total = sum(sizes)
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
