"""Durations as people write them."""

from __future__ import annotations

import contextlib

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Unit -> its seconds."""


def seconds(value: object) -> float:
    """A duration in seconds, from a number of seconds or a text such as ``90``, ``90s``, ``30m`` or ``1.5h``.

    Raises:
        ValueError: it is not a positive, finite number of seconds, minutes or hours.
    """
    found = 0.0
    if isinstance(value, str) and (text := value.strip()):
        unit = UNITS.get(text[-1])
        with contextlib.suppress(ValueError):
            found = float(text[:-1] if unit else text) * (unit or 1.0)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    if not 0 < found < float("inf"):
        raise ValueError("must be a positive number of seconds, or a duration such as 90s, 30m or 2h")
    return found
