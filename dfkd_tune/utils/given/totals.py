"""Total numbers of teacher queries as people write them."""

from __future__ import annotations

LEAST, MOST = 400, 10**8
"""Smallest and largest total: fewer rows cannot be divided into training, selection and report."""


def total(value: str) -> int:
    """A total number of teacher queries, in rows.

    Raises:
        ValueError: it is not a whole number from ``LEAST`` to ``MOST``.
    """
    try:
        found = int(value)
    except ValueError:
        raise ValueError("is not a whole number of rows, such as 5000") from None
    if not LEAST <= found <= MOST:
        raise ValueError(f"is not from {LEAST} to {MOST} rows")
    return found
