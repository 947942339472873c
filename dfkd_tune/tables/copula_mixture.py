"""Fit a mixture of Gaussian copulas to a table, where the data are.

Each row is replaced by the normal scores of its ranks. A mixture of normal distributions is fitted to them by expectation and maximization
(scikit-learn). The number of groups is that with the greatest likelihood of rows held out from the fit. Each group stands for
``at_least`` rows or more, and for twice as many as there are features, so that its covariances are no account of single rows.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

COUNTS = (1, 2, 4, 8, 16, 32)
"""Numbers of groups that are tried."""
RIDGE = 1e-2
"""Added to the variances of the normal scores: no group is narrower than a tenth of a feature's spread."""
ROWS_PER_FEATURE = 2
MOST_ROWS = 50_000
"""Rows to which the mixture is fitted; a larger table gives a random part of so many."""
FOLDS = 2
SEED = 0
DIGITS = 3


def normal_scores(ranks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores ``(N, D)`` of ranks of this shape; equal ranks are put in a random order."""
    from scipy.stats import norm

    rows = len(ranks)
    order = np.lexsort((rng.random(ranks.shape), ranks), axis=0)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(rows)[:, None], order.shape), axis=0)
    return norm.ppf((places + 0.5) / rows)


def fit_mixture(ranks: np.ndarray, at_least: int) -> list[dict[str, Any]]:
    """The groups of a mixture as a features file holds them.

    Args:
        ranks: ``(N, D)`` ranks of a table's values; missing values rank last.
        at_least: least number of rows for which a group stands.
    """
    rng = np.random.default_rng(SEED)
    if len(ranks) > MOST_ROWS:
        ranks = ranks[rng.choice(len(ranks), MOST_ROWS, replace=False)]
    scores = normal_scores(ranks, rng)
    least = max(at_least, ROWS_PER_FEATURE * scores.shape[1])
    found = _fitted(scores, _best_count(scores, least, rng))
    while len(found.weights_) > 1 and found.weights_.min() * len(scores) < least:
        found = _fitted(scores, len(found.weights_) - 1)
    return [
        {
            "share": float(f"{share:.6g}"),
            "mean": (np.round(mean, DIGITS) + 0.0).tolist(),
            "covariance": [(np.round(row[: i + 1], DIGITS) + 0.0).tolist() for i, row in enumerate(covariance)],
        }
        for share, mean, covariance in zip(found.weights_, found.means_, found.covariances_, strict=True)
    ]


def _best_count(scores: np.ndarray, least: int, rng: np.random.Generator) -> int:
    """The number of groups with the greatest likelihood of held-out rows; larger ones are tried as long as that grows."""
    fold, best, reached = rng.permutation(len(scores)) % FOLDS, 1, -np.inf
    for count in COUNTS:
        if count > 1 and count * least > len(scores):
            break
        likelihood = np.mean([_fitted(scores[fold != k], count).score(scores[fold == k]) for k in range(FOLDS)])
        if likelihood <= reached:
            break
        best, reached = count, likelihood
    return best


def _fitted(scores: np.ndarray, count: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(count, reg_covar=RIDGE, random_state=SEED).fit(scores)
