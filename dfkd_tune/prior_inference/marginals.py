"""Infer the marginal distribution of a feature from the counts of training rows at the splits of trees.

The probabilities ``p`` of the cells between thresholds maximize the likelihood of the counts, where each split divides
the rows between ``low`` and ``high``,

    max_p sum over splits of below log P(low, t] + above log P(t, high] - (below + above) log P(low, high]

by minorization (Hunter 2004, Annals of Statistics 32). Dependence on other features is ignored. Trees are constant
beyond their outermost thresholds, but students are not, so the tails are extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfkd_tune.prior_inference.tree_splits import Split

ROUNDS = 300
"""Number of minorization steps."""
SPACING = 0.005
"""Smallest probability between two quantiles."""
STEEPEST = 4.0
"""Largest growth of the step in a tail per factor 10 of probability; the smallest growth is 1."""


@dataclass(frozen=True)
class Margin:
    """One feature's distribution function at its thresholds.

    Args:
        thresholds: ``(M,)`` thresholds in raw units, increasing.
        below: ``(M,)`` probabilities of values up to each threshold, increasing, between 0 and 1.
    """

    thresholds: np.ndarray
    below: np.ndarray

    def at(self, threshold: float) -> float:
        """Probability of values up to ``threshold``, which must be one of the thresholds."""
        return float(self.below[np.searchsorted(self.thresholds, threshold)])


def margin(splits: Sequence[Split]) -> Margin:
    """Maximum-likelihood distribution function of one feature, in raw units, from all splits on it."""
    thresholds = np.unique([split.threshold for split in splits])
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    low, cut, high = (
        np.searchsorted(edges, [getattr(s, name) for s in splits]) for name in ("low", "threshold", "high")
    )
    below, above = (np.array([getattr(s, name) for s in splits]) for name in ("below", "above"))
    p = np.full(len(thresholds) + 1, 1 / (len(thresholds) + 1))
    tiny = 1e-9
    for _ in range(ROUNDS):
        reached = np.concatenate([[0.0], p.cumsum()])
        left, right = (
            np.maximum(b - a, tiny) for a, b in ((reached[low], reached[cut]), (reached[cut], reached[high]))
        )
        gained, asked = np.zeros((2, len(edges)))
        for total, start, stop, share in (
            (gained, low, cut, below / left),
            (gained, cut, high, above / right),
            (asked, low, high, (below + above) / (left + right)),
        ):
            np.add.at(total, start, share)
            np.add.at(total, stop, -share)
        p = np.maximum(p * gained.cumsum()[:-1] / np.maximum(asked.cumsum()[:-1], tiny), tiny)
        p /= p.sum()
    return Margin(thresholds, p.cumsum()[:-1])


def quantiles(margin: Margin, scale: float) -> dict[float, float]:
    """Probability -> quantile in raw units, extrapolated tails included.

    Args:
        margin: distribution function of the feature.
        scale: first step of a tail if the thresholds determine none: the feature's standard deviation.
    """
    p, t = margin.below, margin.thresholds
    kept = [0]
    for i in range(1, len(t) - 1):
        if p[i] - p[kept[-1]] > SPACING < p[-1] - p[i]:
            kept.append(i)
    kept += [len(t) - 1] if len(t) > 1 else []
    inner = {p[i]: t[i] for i in kept}
    mirrored = _tail(1 - p[::-1], -t[::-1], scale)
    low = {1 - probability: -value for probability, value in reversed(mirrored.items())}
    every = low | inner | _tail(p, t, scale)
    return {float(probability): float(value) for probability, value in every.items()}


def _tail(p: np.ndarray, t: np.ndarray, scale: float) -> dict[float, float]:
    """Two quantiles beyond the last threshold; the step per factor 10 of probability grows as further inside."""
    beyond = 1 - p[-1]
    outer, inner, middle = (float(np.interp(1 - min(share * beyond, 0.5), p, t)) for share in (1, 10, 100))
    step, before = outer - inner, inner - middle
    growth = min(max(step / before, 1.0), STEEPEST) if before > 0 else 1.0
    step = growth * step or scale
    return {1 - beyond / 10: t[-1] + step, 1 - beyond / 100: t[-1] + step + growth * step}
