"""Choose the features whose input gradients students match: those where gradients predict how outputs change.

A teacher that rounds a feature, or looks its level up in a table, has no useful gradient there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dfkd_tune.inputs.encoding import Encoder

NEIGHBORS = 64
"""Number of pool rows whose levels are moved by one step."""
EXPLAINED = 0.75
"""Share of the change over a step that the gradient must explain for the gradient to be matched."""


def gradient_mask(
    encoder: Encoder, z: Tensor, gradient: Callable[[Tensor], tuple[Tensor, Tensor]] | None, smooth: bool
) -> Tensor | None:
    """Mask ``(E,)`` of 1 and 0: encoded columns whose input gradients students match; None if all are matched.

    One-hot columns and numbers that may be missing, which have no gradient where they are, are never matched. Columns of ordered levels and whole numbers are matched if the gradient predicts the change
    over a step to the next value. For a black box, features that sum to 1 are not matched, as none can be moved alone.

    Args:
        encoder: encoder of the inputs.
        z: standardized pool rows ``(P, D)``.
        gradient: maps rows to normalized teacher outputs ``(N, O)`` and input gradients ``(N, O, D)``; None for a black box.
        smooth: whether the teacher is a chain of linear layers, which may have kinks but no jumps.
    """
    inputs = encoder.inputs
    fixed = {*inputs.nominal, *inputs.simplex, *inputs.gapped}
    kept = torch.ones(z.shape[1], dtype=z.dtype, device=z.device)
    kept[inputs.gapped] = 0.0
    if gradient is None:
        kept[list(inputs.simplex)] = 0.0
    elif not smooth:
        for i, feature in enumerate(inputs.features):
            if (feature.levels is not None or feature.integer) and i not in fixed:
                kept[i] = float(_predicts_steps(gradient, *inputs.around(z[:NEIGHBORS], i, 0.0), i))
    mask = encoder.gradients(kept)
    return None if bool((mask == 1).all()) else mask


def _predicts_steps(gradient: Callable[[Tensor], tuple[Tensor, Tensor]], ahead: Tensor, behind: Tensor, i: int) -> bool:
    """Whether the gradients at two neighbors predict, by the trapezoidal rule, the change of the outputs between them."""
    (high, up), (low, down) = gradient(ahead), gradient(behind)
    change = (high - low).double()
    predicted = 0.5 * (up + down)[:, :, i].double() * (ahead - behind)[:, i, None].double()
    size = torch.maximum(change.square().sum(), predicted.square().sum())
    return not float((change - predicted).square().sum()) > (1 - EXPLAINED) * float(size)
