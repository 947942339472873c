"""Which smaller sizes of a student are tried, and how surely one of them is good enough; pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.search.ranking import Tried
from dfkd_tune.students.base import Student
from dfkd_tune.students.shrinking import shallower

CLOSE = 16
"""The width is known once the largest one that is too small is less than one such part of it below."""
LEAST = 1e-300
"""Least objective of which a logarithm is taken."""


def smallest(student: Student, columns: Columns, holds: Callable[[Student], bool]) -> Student | None:
    """The smallest size of an architecture that holds, by leaving out layers, then halving the width, then bisection.

    It takes for granted that a larger student holds if a smaller one does.

    Args:
        student: the architecture, whose own size holds.
        columns: how encoded columns are arranged.
        holds: whether a smaller size is good enough.

    Returns:
        the smallest size found; None if no smaller one holds.
    """
    found = student
    while (flatter := shallower(found, columns)) is not None and holds(flatter):
        found = flatter
    low, high = 0, getattr(found, "width", 0) if found.has_width else 0
    while high - low > max(1, high // CLOSE):
        middle = high // 2 if low == 0 else min(high - 1, max(low + 1, round(math.sqrt(low * high))))
        narrower = found.with_width(middle)
        if holds(narrower):
            found, high = narrower, middle
        else:
            low = middle
    return None if found == student else found


def label(student: Student, columns: Columns) -> str:
    """The size of a student as part of a run's name: its width, after the number of its layers if it can lose any."""
    parts, flatter = [f"w{getattr(student, 'width', 0)}"] if student.has_width else [], student
    layers = 1
    while (flatter := shallower(flatter, columns)) is not None:
        layers += 1
    return "-".join([*([f"d{layers}"] if layers > 1 else []), *parts])


def compared(
    parameters: int, runs: Sequence[str], after: Sequence[float | None], before: Sequence[float], share: float
) -> Tried:
    """How a smaller size compares with the size before, seed by seed.

    The logarithms of the ratios are taken as normal, so that the interval and the confidence follow Student's t.

    Args:
        parameters: parameters of the smaller students.
        runs: names of their runs.
        after: their objectives; None for one that diverged.
        before: the objectives of the students that they were pruned from.
        share: how much larger the objective may be.
    """
    from scipy.special import stdtr, stdtrit

    told = [math.inf if value is None else value for value in after]
    if not all(map(math.isfinite, told)):
        return Tried(parameters, math.inf, math.inf, math.inf, 0.0, tuple(runs))
    logs = [math.log(max(a, LEAST) / max(b, LEAST)) for a, b in zip(told, before, strict=True)]
    seeds, mean = len(logs), sum(logs) / len(logs)
    spread = math.sqrt(sum((one - mean) ** 2 for one in logs) / (seeds - 1))
    error, limit = max(spread / math.sqrt(seeds), 1e-12), math.log1p(share)
    apart = float(stdtrit(seeds - 1, 0.975)) * error
    confidence = float(stdtr(seeds - 1, (limit - mean) / error))
    ends = (math.exp(mean), math.exp(mean - apart), math.exp(min(mean + apart, 700.0)))
    return Tried(parameters, *ends, confidence, tuple(runs))
