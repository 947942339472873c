"""A Gaussian copula that gives features their declared rank correlations.

Normal scores ``s ~ N(0, C)`` become probabilities ``ndtr(s)``, and probabilities become feature values. For two
features without ties, ``C_ij = 2 sin(pi rho_ij / 6)`` gives the rank correlation ``rho_ij`` (Pearson 1907). Ties weaken
a rank correlation, so ``C_ij`` is computed from the ranks themselves. Let ``a_ik`` be the coefficients of feature i's
standardized average rank in the normalized Hermite polynomials of its score. Then

    rho_ij = sum_k a_ik a_jk C_ij^k        (Mehler's formula),

which increases with ``C_ij`` and equals the sine rule without ties. If no normal distribution has these rank
correlations, the resulting matrix is not positive definite, and the nearest positive definite one replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError
from dfkd_tune.utils.quoting import quoted

WIDEST = 256
"""Largest number of features for which rank correlations are inferred."""
CELLS = 4_096
TERMS = 64
HALVINGS = 30
PROJECTIONS = 50
LEAST_EIGENVALUE = 1e-6
"""Smallest eigenvalue of the latent correlation matrix, so that it has a Cholesky factor."""
SLACK = 0.2
"""How far below zero an eigenvalue may be: rounding and pairwise deletion of rows distort a measured matrix."""


def triangle(rows: Any, width: int, place: str) -> tuple[tuple[float, ...], ...]:
    """Check the rank correlations of a file: the lower triangle with its diagonal, one row per feature.

    Raises:
        FeaturesError: naming the entry and the rule it breaks.
    """
    if not isinstance(rows, list) or len(rows) != width:
        found = f"{len(rows)} rows" if isinstance(rows, list) else quoted(rows)
        raise FeaturesError(place, f"must be a list of {width} rows, one a feature, got {found}")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != i + 1:
            found = f"{len(row)}" if isinstance(row, list) else quoted(row)
            raise FeaturesError(f"{place}[{i}]", f"must hold {i + 1} numbers, up to the diagonal, got {found}")
        for j, value in enumerate(row):
            if type(value) not in (int, float) or not -1 <= value <= 1:
                raise FeaturesError(f"{place}[{i}][{j}]", f"must be a number from -1 to 1, got {quoted(value)}")
        if row[i] != 1:
            raise FeaturesError(f"{place}[{i}][{i}]", f"a feature's correlation with itself is 1, got {quoted(row[i])}")
    least = float(torch.linalg.eigvalsh(_full(rows))[0])
    if least < -SLACK:
        raise FeaturesError(
            place, f"no data have these correlations (an eigenvalue is {least:.2g})", remedy="check signs"
        )
    return tuple(tuple(map(float, row)) for row in rows)


def factor(rows: Sequence[Sequence[float]], values: Tensor) -> Tensor:
    """Lower triangular ``(D, D)`` matrix that correlates independent normal scores ``(N, D)`` by ``s @ factor.T``.

    Args:
        rows: lower triangle of the rank correlations.
        values: ``(CELLS, D)`` feature values at the middles of ``CELLS`` equally likely cells, float64.
    """
    return torch.linalg.cholesky(_positive(_latent(_full(rows).clone(), _expansion(values))))


def _full(rows: Sequence[Sequence[float]]) -> Tensor:
    full = torch.eye(len(rows), dtype=torch.float64)
    for i, row in enumerate(rows):
        full[i, : i + 1] = full[: i + 1, i] = torch.tensor(row, dtype=torch.float64)
    return full


def _expansion(values: Tensor) -> Tensor:
    """Hermite coefficients ``(D, TERMS)`` of the standardized average ranks; zero for a constant feature.

    Ranks are step functions over the cells, for which the integrals are exact:
    ``a_k = sum over edges of (step) h_(k-1)(edge) density(edge) / sqrt(k)``.
    """
    cells = len(values)
    ranks = torch.stack([_average_ranks(column) for column in values.T])
    ranks = ranks / ranks.std(1, unbiased=False, keepdim=True).clamp(min=1 / cells)
    edges = torch.special.ndtri(torch.arange(1, cells, dtype=torch.float64) / cells)
    polynomials = [torch.ones_like(edges), edges]
    for k in range(1, TERMS - 1):
        polynomials.append((edges * polynomials[k] - k**0.5 * polynomials[k - 1]) / (k + 1) ** 0.5)
    density = torch.exp(-0.5 * edges**2) / (2 * torch.pi) ** 0.5
    order = torch.arange(1, TERMS + 1, dtype=torch.float64)
    return ranks.diff(dim=1) @ (torch.stack(polynomials, dim=1) * density[:, None]) / order.sqrt()


def _average_ranks(column: Tensor) -> Tensor:
    _, place, count = torch.unique(column, return_inverse=True, return_counts=True)
    return (count.cumsum(0) - count.double() / 2)[place]


def _latent(rho: Tensor, a: Tensor) -> Tensor:
    """Normal correlations ``(D, D)`` that give the rank correlations, by bisection; the nearest ones if none do."""
    low, high = -torch.ones_like(rho), torch.ones_like(rho)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = torch.zeros_like(rho)
        for column in a.T.flip(0):  # Horner
            reached = (reached + column[:, None] * column) * middle
        low, high = torch.where(reached < rho, middle, low), torch.where(reached < rho, high, middle)
    still = a.square().sum(1) == 0
    latent = (low + high) / 2
    latent[still] = latent[:, still] = 0.0
    return latent.fill_diagonal_(1.0)


def _positive(matrix: Tensor) -> Tensor:
    """The nearest positive definite correlation matrix, by alternating projections (Higham 2002)."""
    if float(torch.linalg.eigvalsh(matrix)[0]) >= LEAST_EIGENVALUE:
        return matrix
    correction = torch.zeros_like(matrix)
    for _ in range(PROJECTIONS):
        corrected = matrix - correction
        matrix = _clipped(corrected)
        correction = matrix - corrected
        matrix = matrix.clone().fill_diagonal_(1.0)
    matrix = _clipped(matrix)
    spread = matrix.diagonal().sqrt()
    return matrix / (spread[:, None] * spread)


def _clipped(matrix: Tensor) -> Tensor:
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    return (vectors * eigenvalues.clamp(min=LEAST_EIGENVALUE)) @ vectors.T
