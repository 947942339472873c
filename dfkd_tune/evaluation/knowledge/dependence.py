"""Plausible dependence of features: a few random factors, and groups of rows in which features go together differently."""

from __future__ import annotations

import numpy as np

from dfkd_tune.inputs.dependence.copula_mixture import CopulaMixture, Group

Rng = np.random.Generator
FACTORS = 4
"""Most factors of a correlation matrix."""
INDEPENDENT = 0.2
"""Share of the worlds whose features are independent, as in designed experiments."""
GROUPS = (2, 16)
"""Fewest and most groups of rows."""
APART = 0.98
"""Largest share of the variance, in the direction in which groups differ most, that lies between them."""
RIDGE = 0.05
"""Variance that each group has in every direction, as a share of the mean one."""
LOOSE = 0.3
"""Largest share of the variance of a score that is its own: rank correlations do not say all of how scores go together."""
SCALES = 0.8
"""Largest standard deviation of the logarithm of the groups' variances."""


def correlation(width: int, rng: Rng, place: float) -> np.ndarray:
    """A correlation matrix ``(D, D)`` of normal scores: each feature shares a random part of its variance with a few factors.

    Args:
        width: number of features D.
        rng: source of the random numbers.
        place: from 0 to 1; the larger, the larger are these parts. Below ``INDEPENDENT`` the features are independent.
    """
    if place < INDEPENDENT:
        return np.eye(width)
    strength = 0.05 + 0.9 * (place - INDEPENDENT) / (1 - INDEPENDENT)
    shared = rng.beta(3 * strength, 3 * (1 - strength), width)
    loadings = rng.normal(size=(width, rng.integers(1, FACTORS + 1)))
    loadings *= np.sqrt(shared / np.square(loadings).sum(1))[:, None]
    found = loadings @ loadings.T
    np.fill_diagonal(found, 1.0)
    return found


def gaussian(matrix: np.ndarray) -> CopulaMixture:
    """A Gaussian copula with a correlation matrix ``(D, D)`` of normal scores."""
    return CopulaMixture((_group(1.0, np.zeros(len(matrix)), matrix),))


def grouped(matrix: np.ndarray, rng: Rng, most_loose: float = 0.0) -> CopulaMixture:
    """A mixture of groups whose normal scores together have about a given correlation matrix ``(D, D)``.

    In coordinates in which that matrix is the identity, the means have a covariance ``B`` that is below the identity, and the
    covariances of the groups are random Wishart matrices, transformed so that their weighted sum is ``I - B``.

    Args:
        matrix: the correlation matrix.
        rng: source of the random numbers.
        most_loose: largest share of the variance of a score that is its own instead.
    """
    width, count = len(matrix), round(GROUPS[0] * (GROUPS[1] / GROUPS[0]) ** rng.random())
    loose = rng.uniform(0.0, most_loose)
    values, vectors = np.linalg.eigh((1 - loose) * matrix + loose * np.eye(width))
    values = np.maximum(values, 1e-9)
    shares = rng.dirichlet(np.full(count, 3.0))
    # The larger the power, the more do groups differ along the main factors.
    means = rng.normal(size=(count, width)) * values ** rng.uniform(0.0, 0.75)
    means -= shares @ means
    between = means.T @ (shares[:, None] * means)
    factor = rng.uniform(0.0, APART) / np.linalg.eigvalsh(between)[-1]
    means, between = means * np.sqrt(factor), between * factor
    spread = rng.uniform(0.0, SCALES)
    own = [np.exp(rng.normal(0.0, spread)) * _wishart(width, rng) for _ in range(count)]
    total = sum((share * each for share, each in zip(shares, own, strict=True)), np.zeros((width, width)))
    root = vectors * np.sqrt(values)
    turn = root @ _root(np.eye(width) - between) @ np.linalg.inv(_root(total))
    members = zip(shares, means, own, strict=True)
    return CopulaMixture(tuple(_group(share, root @ mean, turn @ each @ turn.T) for share, mean, each in members))


def _wishart(width: int, rng: Rng) -> np.ndarray:
    """A random covariance matrix, mostly of fewer directions than features."""
    rows = rng.normal(size=(max(2, round(width * rng.uniform(0.1, 1.5))), width))
    return rows.T @ rows / len(rows) + RIDGE * np.eye(width)


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _group(share: float, mean: np.ndarray, covariance: np.ndarray) -> Group:
    rows = tuple(tuple(map(float, row[: i + 1])) for i, row in enumerate(covariance))
    return Group(float(share), tuple(map(float, mean)), rows)
