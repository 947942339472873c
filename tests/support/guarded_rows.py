"""Declared inputs of every kind, and rows that are inside and outside of their domain."""

import math

from dfkd_tune import Feature, Inputs

INPUTS = Inputs(
    [
        Feature("load", mean=100.0, std=20.0),
        Feature("flow", mean=1.0, std=0.5),
        Feature("share", range=[0.0, 1.0]),
        Feature("gear", levels=[1.0, 2.0, 5.0], nominal=False),
        Feature("site", levels=["north", "south", None]),
        Feature("heat", mean=20.0, std=5.0, missing=0.2),
    ]
)
GOOD = [100.0, 1.0, 0.5, 2.0, 1.0, 20.0]


def changed(place: int, value: float) -> list[float]:
    return [*GOOD[:place], value, *GOOD[place + 1 :]]


CASES = [
    (GOOD, True),
    (changed(2, 1.1), False),
    (changed(2, -0.1), False),
    (changed(2, 1.0), True),
    (changed(3, 3.0), False),
    (changed(3, 5.0), True),
    (changed(4, 1.5), False),
    (changed(4, math.nan), True),
    (changed(5, math.nan), True),
    (changed(0, math.nan), False),
    (changed(0, 100.0 + 20 * 3), True),
    (changed(0, 100.0 + 20 * 9), False),
    (changed(0, math.inf), False),
    (changed(1, -1e30), False),
]
