"""Quantiles of a feature from the shares of rows in the leaves of its range."""

from __future__ import annotations

import numpy as np

from dfkd_tune.tables.describe import ATOM, GRID, JUMP
from dfkd_tune.tables.private.bounds import Bounds

OUTSTANDING = 5.0
"""Smallest share of an atom, in shares of the greater of its two neighbors; a wide range has leaves with many different values."""


def quantiles_of(shares: np.ndarray, bounds: Bounds) -> dict[float, float]:
    """Probability -> quantile: at Chebyshev nodes, and both ends of every atom.

    Args:
        shares: ``(leaves,)`` shares of rows, which sum to 1.
        bounds: the range.
    """
    edges, below = bounds.edges, np.concatenate([[0.0], shares.cumsum()]).clip(max=1)
    middles = (edges[1:] + edges[:-1]) / 2
    single = bounds.item.get("integer", False) and edges[1] - edges[0] == 1
    atoms = np.flatnonzero(shares >= ATOM if single else _atoms(shares))
    points: list[tuple[float, float]] = []
    for p in (1 - np.cos(np.pi * np.arange(1, GRID) / GRID)) / 2:
        leaf = min(int(np.searchsorted(below, p)) - 1, len(shares) - 1)
        if leaf in atoms:
            continue
        part = (p - below[leaf]) / shares[leaf]
        points.append((float(p), float(edges[leaf] + part * (edges[leaf + 1] - edges[leaf]))))
    for leaf in atoms:
        value = float(middles[leaf])
        points += [(float(below[leaf]) + JUMP, value), (float(below[leaf + 1]) - JUMP, value)]
    digits = 6 + max(0, int(np.ceil(np.log10(np.abs(edges).max() / (edges[-1] - edges[0])))))
    low, high = bounds.item["range"]
    found: dict[float, float] = {}
    least = float(low)
    for p, value in sorted(points):
        least = max(least, min(float(f"{value:.{digits}g}"), float(high)))
        if round(p, 6) not in found and 0 < round(p, 6) < 1:
            found[round(p, 6)] = least
    return found


def _atoms(shares: np.ndarray) -> np.ndarray:
    """Whether ``(leaves,)`` a leaf holds a value that occurs often, and not only a part of a smooth distribution."""
    if len(shares) == 1:
        return np.array([True])
    beside = np.concatenate([[0.0], shares, [0.0]])
    return (shares >= ATOM) & (shares >= OUTSTANDING * np.maximum(beside[:-2], beside[2:]))
