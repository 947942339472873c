"""A student's domain, fitted to rows of the declared prior."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dfkd_tune.inputs.domain.rule import distances
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.seeding import stream

ROWS = 20_000
"""Prior rows that the domain is fitted to; no bank holds them."""
SHARE = 0.999
"""Share of the prior whose distance is within the threshold."""
SHRINK = 0.01
"""Share of the correlations that is taken away, so that rows near a plane have finite distances beside it."""
CORRELATED, WIDEST = 32, 1_024
"""Largest number of ordered features whose correlations are kept, and of features of a guarded student."""
SLACK = 1e-6
"""Rounding that is no reason to be outside, relative to the largest magnitude."""

NEAR = 0.01
"""Largest distance from a level, over that between two levels."""


@dataclass(frozen=True)
class Domain:
    """The rows that the declared inputs may have; ``inputs.domain.rule`` applies it.

    Args:
        low, high: ends of each feature's support in raw units; None where there is none.
        optional: per feature, whether it may be missing.
        levels: ``(feature, values, slack)`` of each feature with levels.
        ordered: features that have a distance; nominal ones have none.
        mean, deviation: mean and standard deviation of each of those.
        whitening: lower triangle ``(K, K)`` that makes the standardized ones uncorrelated; None for more than ``CORRELATED``.
        most: largest squared distance, over K.
    """

    low: list[float | None]
    high: list[float | None]
    optional: list[bool]
    levels: list[tuple[int, list[float], float]]
    ordered: list[int]
    mean: list[float]
    deviation: list[float]
    whitening: list[list[float]] | None
    most: float

    def tree(self) -> dict[str, Any]:
        """The domain as plain values."""
        return asdict(self)


def domain_of(inputs: Inputs, seed: int) -> Domain | None:
    """The domain of the declared inputs; None of more than ``WIDEST`` features.

    Args:
        inputs: the declared inputs.
        seed: seed of the study; the rows have a random stream of their own.
    """
    if len(inputs) > WIDEST:
        return None
    x = inputs.raw(inputs.draw(ROWS, stream(seed, "domain"))).numpy()
    ordered = [i for i in range(len(inputs)) if i not in inputs.nominal]
    known = x[:, ordered]
    mean = np.nanmean(known, axis=0) if ordered else np.zeros(0)
    deviation = np.nanstd(known, axis=0) if ordered else np.zeros(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    whitening = None
    if 0 < len(ordered) <= CORRELATED:
        z = np.nan_to_num((known - mean) / deviation)
        correlation = (1 - SHRINK) * z.T @ z / len(z) + SHRINK * np.eye(len(ordered))
        whitening = np.linalg.inv(np.linalg.cholesky(correlation)).tolist()
    edges = [_edges(inputs, i) for i in range(len(inputs))]
    levels = [(i, *_levels(feature.table)) for i, feature in enumerate(inputs.features) if feature.levels is not None]
    optional = [i in inputs.gapped or any(map(math.isnan, _table(inputs, i))) for i in range(len(inputs))]
    low, high = ([edge[side] for edge in edges] for side in (0, 1))
    plain = (low, high, optional, levels, ordered, mean.tolist(), deviation.tolist(), whitening)
    return Domain(*plain, float(np.quantile(distances(Domain(*plain, math.inf).tree(), x), SHARE)))


def _table(inputs: Inputs, i: int) -> list[float]:
    feature = inputs.features[i]
    return [] if feature.levels is None else [float(value) for value in feature.table]


def _edges(inputs: Inputs, i: int) -> tuple[float | None, float | None]:
    """Ends of a support, moved by rounding; levels have none."""
    feature = inputs.features[i]
    if feature.levels is not None:
        return None, None
    low, high = map(float, feature.support)
    slack = SLACK * max(float(inputs.scale[i]), *(abs(edge) for edge in (low, high) if math.isfinite(edge)), 0.0)
    return (low - slack if math.isfinite(low) else None), (high + slack if math.isfinite(high) else None)


def _levels(table: list[float]) -> tuple[list[float], float]:
    """The levels that are numbers, and how far from one a value may lie."""
    numbers = [float(value) for value in table if not math.isnan(value)]
    # Levels such as dates lie nearer to each other than rounding is to their size; rows of such levels are float64.
    apart = min((b - a for a, b in pairwise(sorted(numbers))), default=math.inf)
    return numbers, min(SLACK * max(map(abs, numbers), default=0.0), NEAR * apart)
