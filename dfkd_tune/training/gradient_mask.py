"""Which input gradients of a teacher students should match: those that tell what its outputs change by.

A teacher that looks a level up, or rounds, has no gradient there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dfkd_tune.training.problem import Problem

NEIGHBORS = 64
"""Pool rows whose levels are moved by one."""
EXPLAINED = 0.75
"""Share of what a step changes that the gradient must explain to be matched."""


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
