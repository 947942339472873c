"""Make a trained student narrower or shallower: the start from which a smaller student is trained on.

Notation: N rows, E encoded columns, O outputs, W units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.students.base import Student
from dfkd_tune.students.convolutional.conv1d import Conv1d
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.neuron_pruning import prune

RIDGE = 1e-4
COMPARED = 64
"""Students, each without one unit, that are evaluated at once."""
RANKED_ROWS = 512
"""Rows on which they are evaluated."""


def shallower(student: Student, columns: Columns) -> Student | None:
    """The same architecture with one hidden layer less; None if it has only one, or its layers cannot be left out."""
    if isinstance(student, MLP) and student.depth > 1:
        return replace(student, depth=student.depth - 1)
    if isinstance(student, Conv1d) and student.depth(columns) > 1:
        return replace(student, layers=student.depth(columns) - 1)
    return None


def shrunk(
    student: Student,
    weights: Sequence[Tensor],
    smaller: Student,
    x: Tensor,
    values: Tensor,
    columns: Columns,
    gradient_weight: float = 0.0,
    matched: Tensor | None = None,
) -> list[Tensor]:
    """Weights of a smaller student, made from those of a trained one.

    The last hidden layers are left out first, then the units without which the outputs change least. The output layer is fitted
    again. A perceptron with one hidden layer loses its neurons by the optimal brain surgeon.

    Args:
        student: the trained architecture.
        weights: weights of one member.
        smaller: the same architecture with a smaller width or fewer layers, as ``shallower`` makes them.
        x: encoded rows ``(N, E)``.
        values: the teacher's normalized outputs ``(N, O)`` at these rows.
        columns: how encoded columns are arranged.
        gradient_weight: weight of the input gradients in the loss.
        matched: mask ``(E,)`` of the columns whose gradients count; None if all count.
    """
    outputs, kept = values.shape[1], [w.detach() for w in weights]
    middle = smaller.with_width(getattr(student, "width", 1))
    if len(middle.shapes(columns, outputs)) < len(kept):
        kept = [*kept[: len(middle.shapes(columns, outputs)) - 2], *kept[-2:]]
        kept = with_output_layer(middle, kept, x, values, columns)
    if smaller == middle:
        return kept
    width = getattr(smaller, "width")  # noqa: B009  # architectures with a width have that field
    if isinstance(middle, MLP) and middle.depth == 1:
        return prune(middle, kept, x, gradient_weight, width, matched)
    costs = _removal_costs(middle, kept, x[:RANKED_ROWS], values[:RANKED_ROWS], columns)
    units = costs.topk(width).indices.sort().values
    return with_output_layer(smaller, _of_units(middle, kept, units, columns, outputs), x, values, columns)


def with_output_layer(
    student: Student, weights: Sequence[Tensor], x: Tensor, values: Tensor, columns: Columns
) -> list[Tensor]:
    """The weights with the output layer fitted by ridge regression; unchanged if the last layer is not linear.

    Args:
        student: the architecture.
        weights: weights of one member.
        x: encoded rows ``(N, E)``.
        values: the teacher's normalized outputs ``(N, O)`` at these rows.
        columns: how encoded columns are arranged.
    """
    made, rows = list(weights), len(x)
    hidden = student.hidden([w.unsqueeze(0) for w in made], x.unsqueeze(0), columns)
    if hidden is None:
        return made
    seen = hidden[0].double()
    seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
    gram = seen.T @ seen / rows + RIDGE * torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device)
    fitted = torch.linalg.solve(gram, seen.T @ values.double() / rows)
    made[-2], made[-1] = fitted[:-1].to(made[-2]), fitted[-1].to(made[-1])
    return made


def _removal_costs(student: Student, weights: list[Tensor], x: Tensor, values: Tensor, columns: Columns) -> Tensor:
    """Mean square error ``(W,)`` of the student without each of its units."""
    width, outputs, costs = getattr(student, "width"), values.shape[1], []  # noqa: B009
    narrow = student.with_width(width - 1)
    every = torch.arange(width, device=x.device)
    for units in every.split(COMPARED):
        without = [_of_units(student, weights, every[every != unit], columns, outputs) for unit in units]
        stacked = [torch.stack(parts) for parts in zip(*without, strict=True)]
        answers = narrow.answer(stacked, x.expand(len(units), -1, -1), columns)
        costs.append((answers - values).square().mean((1, 2)))
    return torch.cat(costs)


def _of_units(student: Student, weights: list[Tensor], units: Tensor, columns: Columns, outputs: int) -> list[Tensor]:
    """The parts of the weights that belong to these units. An axis of several values for each unit has them unit after unit."""
    narrow = student.with_width(len(units)).shapes(columns, outputs)
    width, made = getattr(student, "width"), []  # noqa: B009
    for weight, shape in zip(weights, narrow, strict=True):
        for axis, (before, after) in enumerate(zip(weight.shape, shape, strict=True)):
            if before != after:
                each = before // width
                index = (units[:, None] * each + torch.arange(each, device=units.device)).flatten()
                weight = weight.index_select(axis, index.to(weight.device))
        made.append(weight.contiguous())
    return made
