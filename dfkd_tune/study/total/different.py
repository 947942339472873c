"""The different rows of inputs that have few of them, such as three small categories: each needs to be asked once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs


def count_different(inputs: Inputs, most: int) -> int | None:
    """The number of different rows that the inputs may have: all combinations of levels and whole numbers.

    Returns:
        The number. None if it is larger than ``most``, or if a feature has neither levels nor whole numbers in a range.
    """
    count = 1
    for feature in inputs.features:
        found = _values(feature, most // count)
        if found is None:
            return None
        count *= len(found)
    return count


def different_rows(inputs: Inputs, count: int) -> Tensor:
    """The different rows ``(count, D)``, standardized, of inputs for which ``count_different`` has counted them."""
    values = [torch.tensor(_values(feature, count), dtype=torch.float64) for feature in inputs.features]
    return inputs.standardized(torch.cartesian_prod(*values).view(count, len(values)))


def _values(feature: Feature, most: int) -> Sequence[float] | None:
    """The raw values of a feature, a missing one as NaN; None if there are more than ``most``, or no limit."""
    if feature.levels is not None:
        found = [value for value, weight in zip(feature.table, feature.weights, strict=True) if weight > 0]
    else:
        low, high = feature.support
        if not feature.integer or not math.isfinite(high - low) or high - low > most:
            return None
        found = [*map(float, range(round(low), round(high) + 1)), *([math.nan] if feature.missing is not None else [])]
    return found if len(found) <= most else None
