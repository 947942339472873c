"""The different rows of inputs that have few of them, such as three small categories: each needs to be asked once."""

from __future__ import annotations

import torch
from torch import Tensor

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.seeding import stream

DRAWS, MOST_DRAWS = 4, 100_000
"""Prior rows that are drawn to find them, as a multiple of the total, and at most."""
FEWEST_DRAWS = 4_000
"""Fewest of these rows."""


def different_rows(inputs: Inputs, seed: int, total: int) -> Tensor | None:
    """The different prior rows ``(N, D)``, standardized, in the order in which they are first drawn.

    Args:
        inputs: the inputs.
        seed: seed of the study.
        total: its total number of queries.

    Returns:
        The rows. None if a feature has neither levels nor whole numbers, or if the rows are more than half as many as were drawn, so that
        others may remain.
    """
    if any(feature.levels is None and not feature.integer for feature in inputs.features):
        return None
    drawn = min(MOST_DRAWS, max(FEWEST_DRAWS, DRAWS * total))
    z = inputs.draw(drawn, stream(seed, "different"))
    x = inputs.raw(z)
    _, which = torch.unique(x.masked_fill(x.isnan(), torch.inf), dim=0, return_inverse=True)  # NaN is missing
    first = torch.full((int(which.max()) + 1,), drawn).scatter_reduce(0, which, torch.arange(drawn), "amin")
    return z[first.sort().values] if len(first) <= drawn // 2 else None


def count_different(inputs: Inputs, seed: int, total: int) -> int | None:
    """The number N of ``different_rows``; None if there are none."""
    rows = different_rows(inputs, seed, total)
    return None if rows is None else len(rows)
