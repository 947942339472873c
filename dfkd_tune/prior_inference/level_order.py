"""Decide from a teacher's outputs whether the order of numeric levels has a meaning.

For a teacher that treats a feature as a category, the order of the codes is arbitrary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher

ORDER_ROWS = 16
"""Number of prior rows at which every level is evaluated."""
WORDS_OF_ORDER = 3
"""Smallest number of levels for which the order is tested; two levels always lie on a line."""
CROWDED = 4 * torch.finfo(torch.float32).eps
"""Smallest distance of two levels, as a share of the largest code, that standardized float32 rows resolve."""
SEED = 0


def with_order(teacher: Teacher, inputs: Inputs) -> Inputs:
    """Return the inputs with those levels nominal whose order the teacher's outputs do not follow.

    Args:
        teacher: the teacher in raw units.
        inputs: the declared inputs; only numeric levels without a declared ``nominal`` are tested.
    """
    open_question = [group for group in inputs.alike if _open(inputs.features[group[0]])]
    try:
        found = [each for each in open_question if _crowded(inputs, each[0]) or not _ordered(teacher, inputs, each)]
        return inputs.unordered([i for group in found for i in group])
    except Exception:
        return inputs  # the probe reports what is wrong


def _open(feature: Feature) -> bool:
    """Whether the order of a feature's levels is an open question."""
    levels = feature.levels or []
    return feature.nominal is None and not feature.one_hot and len(levels) >= WORDS_OF_ORDER


def _crowded(inputs: Inputs, i: int) -> bool:
    """Whether standardized float32 rows cannot distinguish some levels of a feature."""
    codes = inputs.features[i].values
    return bool((codes.diff() < CROWDED * codes.abs().max()).any())


def _ordered(teacher: Teacher, inputs: Inputs, group: Sequence[int]) -> bool:
    """Whether outputs vary smoothly from level to level, by von Neumann's ratio (1941).

    All features of the group, the steps of a channel, have the same level in a row.

    The mean square of successive differences over the variance is ``12 / (k (k + 1))`` for a line through ``k`` levels,
    and 2 on average for a random order. The threshold is halfway.
    """
    codes = inputs.features[group[0]].values
    z = inputs.draw(ORDER_ROWS, torch.Generator().manual_seed(SEED)).repeat_interleave(len(codes), dim=0)
    z[:, [*group]] = codes.repeat(ORDER_ROWS)[:, None]
    with torch.no_grad():
        y = teacher(inputs.raw(z, teacher.dtype)).double().view(ORDER_ROWS, len(codes), -1)
    deviation = y - y.mean(1, keepdim=True)
    variance = deviation.square().sum(1) / (len(codes) - 1)
    steps = y.diff(dim=1).square().mean(1)
    unit = y.flatten(0, 1).var(0).clamp(min=1e-300)
    chance, line = 2.0, 12 / (len(codes) * (len(codes) + 1))
    total = float((variance / unit).sum())
    return total < 1e-12 or float((steps / unit).sum()) / total < (chance + line) / 2
