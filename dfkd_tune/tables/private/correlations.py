"""Rank correlations with noise: the sum over rows of the products of bounded scores.

A score of a row is its standardized rank in a distribution that is private already, so that it depends on no other row. With ``z`` the
scores of a row, clipped to ``|z|^2 <= B``, the sum holds ``7 z_i z_j`` for each pair and ``5 z_i^2`` for each feature. One row changes
that vector by ``(24.5 |z|^4 + 0.5 sum z_i^4)^(1/2) <= 5 B`` in Euclidean norm, for any number of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dfkd_tune.inputs.dependence.copula import positive

STEPS = 64
"""Scores are whole multiples of ``1 / STEPS``, whose sums are exact."""
CLIP = 1.3
"""Largest squared norm of a row's scores, as a multiple of its mean for the distributions."""
LEAST = 1 / 3
"""Smallest mean square of a score that divides; clipping leaves more, so less is noise."""


def tables_of(shares: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The standardized middle rank of each cell of each column; 0 for a column with one value.

    Args:
        shares: for each column, the shares of rows in its cells in the order of their ranks, which sum to 1.
    """
    tables = []
    for each in shares:
        ranks = each.cumsum() - each / 2
        ranks = ranks - (each * ranks).sum()
        spread = float((each * ranks**2).sum()) ** 0.5
        tables.append(ranks / spread if spread > 1e-6 else np.zeros_like(ranks))
    return tables


def bound(columns: int) -> int:
    """Largest squared norm of the scores of a row, in steps."""
    return int(CLIP * columns * STEPS**2)


def sensitivity(columns: int) -> float:
    """Largest change of ``sums`` by one row."""
    return 5.0 * bound(columns)


def sums(scores: np.ndarray) -> np.ndarray:
    """Sums of products, as whole numbers: the lower triangle with its diagonal, row by row.

    Args:
        scores: ``(N, D)`` scores.
    """
    most = bound(scores.shape[1])
    norms = np.square(scores * STEPS).sum(axis=1)
    whole = np.trunc(scores * STEPS * np.minimum(1.0, np.sqrt(most / norms.clip(min=1.0)))[:, None])
    whole[np.square(whole).sum(axis=1) > most] = 0.0  # rounding of float64 alone could get a row here
    products = np.rint(whole.T @ whole)  # exact: all sums are whole numbers below 2^53
    weights = np.where(np.eye(len(products), dtype=bool), 5, 7)
    return (products.astype(np.int64) * weights)[np.tril_indices(len(products))]


def correlations_of(noised: np.ndarray, rows: float, noise: float, still: np.ndarray) -> tuple[np.ndarray, float]:
    """The correlation matrix ``(D, D)`` that noised sums tell, and the standard deviation of its noise.

    Correlations shrink towards 0 by the share of noise in their mean square, and the nearest correlation matrix is taken.

    Args:
        noised: what ``sums`` returns, with noise.
        rows: number of rows.
        noise: standard deviation of the noise.
        still: ``(D,)`` whether a column has one value.
    """
    width = len(still)
    products = np.zeros((width, width))
    products[np.tril_indices(width)] = noised
    squares = (products.diagonal() / 5).clip(min=LEAST * rows * STEPS**2)
    norms = np.sqrt(squares[:, None] * squares)
    found, deviation = products / 7 / norms, noise / 7 / norms
    pairs = np.tril(~still[:, None] & ~still, -1)
    if not pairs.any():
        return np.eye(width), 0.0
    error = float(np.square(deviation[pairs]).mean()) ** 0.5
    share = max(0.0, 1 - error**2 / float(np.square(found[pairs]).mean()))
    found = np.where(pairs, share * found, 0.0).clip(-1, 1)
    return positive(torch.from_numpy(found + found.T + np.eye(width))).numpy(), error
