"""What a teacher makes of levels and whole numbers: whether their order means anything, and whether its gradient tells their steps.

A teacher that looks a category up has no gradient there, and the order of the codes is an accident of whoever chose them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .inputs import Inputs
from .teachers import Teacher

if TYPE_CHECKING:
    from .problem import Problem

ROWS = 16
"""Prior rows at which every level is tried."""
WORDS_OF_ORDER = 3
"""Levels below which an order says nothing that a line through them does not."""
CROWDED = 4 * torch.finfo(torch.float32).eps
"""Distance of two levels, as a share of how far all reach, that standardized rows in float32 just hold."""
SEED = 0
NEIGHBORS = 64
"""Pool rows whose levels are moved by one."""
EXPLAINED = 0.75
"""Share of what a step changes that the gradient must explain to be matched."""


def with_order(teacher: Teacher, inputs: Inputs) -> Inputs:
    """The same inputs, where levels of which nobody said whether they are nominal are what the teacher's outputs show.

    Args:
        teacher: in raw units.
        inputs: as declared.
    """
    open_question = [
        i
        for i, f in enumerate(inputs.features)
        if f.levels is not None and f.nominal is None and not f.one_hot and len(f.levels) >= WORDS_OF_ORDER
    ]
    try:
        return inputs.unordered([i for i in open_question if _crowded(inputs, i) or not _ordered(teacher, inputs, i)])
    except Exception:
        return inputs  # whatever is wrong with the teacher, the probe says so


def _crowded(inputs: Inputs, i: int) -> bool:
    """Whether some levels lie so near each other, beside the others, that standardized rows do not tell them apart."""
    codes = inputs.features[i].values
    return bool((codes.diff() < CROWDED * codes.abs().max()).any())


def _ordered(teacher: Teacher, inputs: Inputs, i: int) -> bool:
    """Whether outputs change from level to level rather than at random (von Neumann 1941).

    The mean square of successive differences over the variance is ``12 / (k (k + 1))`` for a line through ``k`` levels and 2 on
    average where the order is chance; halfway decides.
    """
    codes = inputs.features[i].values
    z = inputs.draw(ROWS, torch.Generator().manual_seed(SEED)).repeat_interleave(len(codes), dim=0)
    z[:, i] = codes.repeat(ROWS)
    with torch.no_grad():
        y = teacher(inputs.raw(z, teacher.dtype)).double().view(ROWS, len(codes), -1)
    deviation = y - y.mean(1, keepdim=True)
    variance = deviation.square().sum(1) / (len(codes) - 1)
    steps = y.diff(dim=1).square().mean(1)
    unit = y.flatten(0, 1).var(0).clamp(min=1e-300)
    chance, line = 2.0, 12 / (len(codes) * (len(codes) + 1))
    total = float((variance / unit).sum())
    return total < 1e-12 or float((steps / unit).sum()) / total < (chance + line) / 2


def matched(problem: Problem) -> Tensor | None:
    """Which encoded columns ``(E,)`` have input gradients that students should match, as 1 and 0; None where all do.

    Columns of levels without an order have none; of other levels and whole numbers the gradient counts where it tells what a
    step to the next changes; of a black box the shares of a whole cannot be moved one by one.
    """
    inputs, encoder = problem.inputs, problem.encoder
    kept = torch.ones(problem.features, dtype=problem.dtype, device=problem.device)
    if not problem.probe.differentiable:
        kept[list(inputs.simplex)] = 0.0
    elif problem.teacher.chain is None:  # a chain of linear layers bends, but does not jump
        for i, feature in enumerate(inputs.features):
            if (feature.levels is not None or feature.integer) and i not in (*inputs.nominal, *inputs.simplex):
                kept[i] = float(_told(problem, i))
    mask = encoder.slopes(kept)
    return None if bool((mask == 1).all()) else mask


def _told(problem: Problem, i: int) -> bool:
    """Whether the gradient at two neighbors, by the trapezoidal rule, tells what the teacher's outputs change between them."""
    z = problem.pool.z[:NEIGHBORS]
    ahead, behind = problem.inputs.around(z, i, 0.0)
    (high, up), (low, down) = (problem.values_and_slopes(rows) for rows in (ahead, behind))
    change = (high - low).double()
    told = 0.5 * (up + down)[:, :, i].double() * (ahead - behind)[:, i, None].double()
    size = torch.maximum(change.square().sum(), told.square().sum())
    return not float((change - told).square().sum()) > (1 - EXPLAINED) * float(size)
