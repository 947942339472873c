"""The constants of a student's guard in C."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from dfkd_tune.export.formats.c.constants import indices
from dfkd_tune.export.formats.c.text import array, number


def domain_constants(domain: Mapping[str, Any], double: bool) -> list[str]:
    """Definitions of the arrays that ``guard.c.jinja`` reads.

    Args:
        domain: as ``inputs.domain.fit.Domain.tree`` has it.
        double: whether rows are float64.
    """
    real, largest = ("double", np.finfo(np.float64)) if double else ("float", np.finfo(np.float32))

    def reals(name: str, values: list[float]) -> str:
        return array(real, name, (number(value, double) for value in values))

    low, high = (
        [float(largest.max) * sign if each is None else each for each in domain[side]]
        for side, sign in (("low", -1), ("high", 1))
    )
    made = [reals("lowest", low), reals("highest", high)]
    made += [array("unsigned char", "optional", (str(int(each)) for each in domain["optional"]))]
    if levels := domain["levels"]:
        counts = [len(values) for _, values, _ in levels]
        made += [indices("leveled", [feature for feature, *_ in levels])]
        made += [indices("first_level", [0, *accumulate(counts)]), reals("slack", [slack for *_, slack in levels])]
        made += [reals("level_at", [value for _, values, _ in levels for value in values] or [0.0])]
    if domain["ordered"]:
        made += [indices("measured", domain["ordered"]), reals("usual", domain["mean"])]
        made += [reals("deviation", domain["deviation"])]
    if domain["whitening"] is not None:
        triangle = (value for i, row in enumerate(domain["whitening"]) for value in row[: i + 1])
        made += [array("float", "whitening", map(number, triangle))]
    return made
