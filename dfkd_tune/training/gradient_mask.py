"""Which input gradients of a teacher students should match: those that tell what its outputs change by.

A teacher that looks a level up, or rounds, has no gradient there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dfkd_tune.inputs.encoding import Encoder

NEIGHBORS = 64
"""Pool rows whose levels are moved by one."""
EXPLAINED = 0.75
"""Share of what a step changes that the gradient must explain to be matched."""


def gradient_mask(
    encoder: Encoder, z: Tensor, gradient: Callable[[Tensor], tuple[Tensor, Tensor]] | None, smooth: bool
) -> Tensor | None:
    """Which encoded columns ``(E,)`` have input gradients that students should match, as 1 and 0; None where all do.

    Columns of levels without an order have none; of other levels and whole numbers the gradient counts where it tells what a
    step to the next changes; of a black box the shares of a whole cannot be moved one by one.

    Args:
        encoder: of the inputs.
        z: pool rows ``(P, D)``.
        gradient: rows to the teacher's normalized outputs ``(N, O)`` and input gradients ``(N, O, D)``; None for a black box.
        smooth: whether the teacher is a chain of linear layers, which bends, but does not jump.
    """
    inputs = encoder.inputs
    kept = torch.ones(z.shape[1], dtype=z.dtype, device=z.device)
    if gradient is None:
        kept[list(inputs.simplex)] = 0.0
    elif not smooth:
        for i, feature in enumerate(inputs.features):
            if (feature.levels is not None or feature.integer) and i not in (*inputs.nominal, *inputs.simplex):
                kept[i] = float(_predicts_steps(gradient, *inputs.around(z[:NEIGHBORS], i, 0.0), i))
    mask = encoder.gradients(kept)
    return None if bool((mask == 1).all()) else mask


def _predicts_steps(gradient: Callable[[Tensor], tuple[Tensor, Tensor]], ahead: Tensor, behind: Tensor, i: int) -> bool:
    """Whether the gradient at two neighbors, by the trapezoidal rule, predicts what the outputs change by between them."""
    (high, up), (low, down) = gradient(ahead), gradient(behind)
    change = (high - low).double()
    predicted = 0.5 * (up + down)[:, :, i].double() * (ahead - behind)[:, i, None].double()
    size = torch.maximum(change.square().sum(), predicted.square().sum())
    return not float((change - predicted).square().sum()) > (1 - EXPLAINED) * float(size)
