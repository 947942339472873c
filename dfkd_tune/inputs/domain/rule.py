"""The rule that says whether raw rows are in a student's domain. A copy of this file lies in registered models: it needs NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def in_domain(domain: Mapping[str, Any], rows: np.ndarray) -> np.ndarray:
    """Whether raw rows ``(N, D)`` are in a domain, ``(N,)``.

    A row is, if every value lies in its feature's support or on one of its levels, nothing is missing that may not be, and its squared
    distance from the mean under the correlations of the prior is at most ``domain["most"]``.

    Args:
        domain: what ``inputs.domain.fit.Domain.tree`` returns.
        rows: raw rows, NaN for missing values.
    """
    x = np.asarray(rows, dtype=np.float64)
    low = np.array([-np.inf if each is None else each for each in domain["low"]])
    high = np.array([np.inf if each is None else each for each in domain["high"]])
    missing = np.isnan(x)
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(x) & (x >= low) & (x <= high)
    inside = (fits | (missing & np.array(domain["optional"], dtype=bool))).all(1)
    for feature, levels, slack in domain["levels"]:
        column = x[:, feature, None]
        near = (np.abs(column - np.array(levels, dtype=np.float64)) <= slack).any(1)
        inside &= near | missing[:, feature]
    return inside & (distances(domain, x) <= domain["most"])


def distances(domain: Mapping[str, Any], rows: np.ndarray) -> np.ndarray:
    """Squared distances ``(N,)`` of raw rows from the mean, in standard deviations, over their number of ordered features."""
    ordered = domain["ordered"]
    if not ordered:
        return np.zeros(len(rows))
    x = np.asarray(rows, dtype=np.float64)[:, ordered]
    z = np.clip((x - np.array(domain["mean"])) / np.array(domain["deviation"]), -1e18, 1e18)
    z = np.where(np.isnan(z), 0.0, z)  # of what is missing nothing is far
    whitening = domain["whitening"]
    if whitening is None:
        return np.square(z).mean(1)
    return np.square(z @ np.array(whitening).T).mean(1)
