"""Features that depend on each other as their rank correlations say: a Gaussian copula.

Normal scores ``s ~ N(0, C)`` become probabilities ``ndtr(s)``, and these the values of each feature. For two features without
ties, ``C_ij = 2 sin(pi rho_ij / 6)`` gives the rank correlation ``rho_ij`` (Pearson 1907). Ties weaken a rank correlation, as much
as they weigh: two rare switches that always go together can hardly reach it. So ``C_ij`` is found from the ranks themselves.
With ``a_ik`` the coefficients of feature i's standardized average rank in the normalized Hermite polynomials of its score,

    rho_ij = sum_k a_ik a_jk C_ij^k        (Mehler's formula),

which rises with ``C_ij`` and is the sine rule where nothing is tied. Rank correlations that no normal distribution has leave
a matrix that is not positive definite; the nearest one that is takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError
from dfkd_tune.utils.quoting import quoted

WIDEST = 256
"""Features beyond which correlations are too many to be found."""
CELLS = 4_096
TERMS = 64
HALVINGS = 30
PROJECTIONS = 50
LEAST_EIGENVALUE = 1e-6
"""Smallest eigenvalue of the latent correlations, so that they have a Cholesky factor."""
SLACK = 0.2
"""Rounding, and rows left out pair by pair, bend a measured matrix: its eigenvalues may fall this far below zero."""


def triangle(rows: Any, width: int, place: str) -> tuple[tuple[float, ...], ...]:
    """Rank correlations as a file gives them: the lower triangle, one row a feature, diagonal included.

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
    """The matrix that turns independent normal scores ``(N, D)`` into correlated ones: ``s @ factor.T``, lower triangular.

    Args:
        rows: lower triangle of the rank correlations.
        values: ``(CELLS, D)`` of every feature, at the middles of as many equally likely cells, float64.
    """
    return torch.linalg.cholesky(_positive(_latent(_full(rows).clone(), _expansion(values))))


def _full(rows: Sequence[Sequence[float]]) -> Tensor:
    full = torch.eye(len(rows), dtype=torch.float64)
    for i, row in enumerate(rows):
        full[i, : i + 1] = full[: i + 1, i] = torch.tensor(row, dtype=torch.float64)
    return full


def _expansion(values: Tensor) -> Tensor:
    """Hermite coefficients ``(D, TERMS)`` of the standardized average ranks; zeros for a feature that never changes.

    Ranks are steps over the cells, for which the integrals are exact:
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
    """The normal correlations ``(D, D)`` that give the rank correlations, by bisection; the nearest where none does."""
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
    """The nearest correlation matrix that has a Cholesky factor, by alternating projections (Higham 2002)."""
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
