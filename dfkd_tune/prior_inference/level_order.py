"""What a teacher makes of levels: whether their order means anything.

To a teacher that looks a category up, the order of the codes is an accident of whoever chose them.
"""

from __future__ import annotations

import torch

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher

ORDER_ROWS = 16
"""Prior rows at which every level is tried."""
WORDS_OF_ORDER = 3
"""Levels below which an order says nothing that a line through them does not."""
CROWDED = 4 * torch.finfo(torch.float32).eps
"""Distance of two levels, as a share of how far all reach, that standardized rows in float32 just hold."""
SEED = 0


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
    z = inputs.draw(ORDER_ROWS, torch.Generator().manual_seed(SEED)).repeat_interleave(len(codes), dim=0)
    z[:, i] = codes.repeat(ORDER_ROWS)
    with torch.no_grad():
        y = teacher(inputs.raw(z, teacher.dtype)).double().view(ORDER_ROWS, len(codes), -1)
    deviation = y - y.mean(1, keepdim=True)
    variance = deviation.square().sum(1) / (len(codes) - 1)
    steps = y.diff(dim=1).square().mean(1)
    unit = y.flatten(0, 1).var(0).clamp(min=1e-300)
    chance, line = 2.0, 12 / (len(codes) * (len(codes) + 1))
    total = float((variance / unit).sum())
    return total < 1e-12 or float((steps / unit).sum()) / total < (chance + line) / 2
