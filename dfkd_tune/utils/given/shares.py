"""Shares as people write them."""

from __future__ import annotations


def share(value: object) -> float:
    """A share as a number, from a number such as 0.05 or a text such as ``5%``.

    Raises:
        ValueError: it is not a finite number of at least 0, or a number of at least 1 without ``%``.
    """
    text = value.strip() if isinstance(value, str) else ""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(value)
        found = float(text.removesuffix("%") if text else value) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError("is not a share such as 5%") from None
    if not 0 <= found < float("inf"):
        raise ValueError("is not at least 0%")
    if found >= 1 and not text.endswith("%"):
        raise ValueError(f"would be {100 * found:.0f}%; write {found:g}% or {found / 100:g}")
    return found


def part(value: object) -> float:
    """A share of a whole as a number; the whole may also be written as 1. Raises as ``share`` does."""
    return 1.0 if value == 1 and not isinstance(value, bool) else share(value)
