"""A Gaussian copula: normal correlations that give features their declared rank correlations.

Normal scores ``s ~ N(0, C)`` become probabilities ``ndtr(s)``, and probabilities become feature values. For two
features without ties, ``C_ij = 2 sin(pi rho_ij / 6)`` gives the rank correlation ``rho_ij`` (Pearson 1907). Ties weaken
a rank correlation, so ``C_ij`` is computed from the ranks themselves. Let ``a_ik`` be the coefficients of feature i's
standardized average rank in the normalized Hermite polynomials of its score. Then

    rho_ij = sum_k a_ik a_jk C_ij^k        (Mehler's formula),

which increases with ``C_ij`` and equals the sine rule without ties. If no normal distribution has these rank
correlations, the resulting matrix is not positive definite, and the nearest positive definite one replaces it.

The series converges slowly where both features have ties and ``C_ij`` is near 1. One feature at two times is such a case;
``itself`` integrates the density instead (Plackett 1954). Let the ranks jump by ``d_m`` at the scores ``h_m``. Then

    rho(C) = sum_mn d_m d_n int_0^C phi2(h_m, h_n; c) dc,

where ``phi2`` is the density of two normal scores with correlation ``c``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WIDEST = 256
"""Largest number of features for which rank correlations are inferred."""
CELLS = 4_096
TERMS = 64
HALVINGS = 30
PROJECTIONS = 50
LEAST_EIGENVALUE = 1e-6
"""Smallest eigenvalue of the latent correlation matrix, so that it has a Cholesky factor."""
JUMPS = 128
"""Number of jumps of the ranks of a feature; those of a feature without ties are taken together."""
ANGLES = 257
"""Number of correlations at which the density is evaluated."""


def matrix_of(rows: Sequence[Sequence[float]]) -> Tensor:
    """The symmetric matrix ``(D, D)`` of a lower triangle with its diagonal."""
    full = torch.eye(len(rows), dtype=torch.float64)
    for i, row in enumerate(rows):
        full[i, : i + 1] = full[: i + 1, i] = torch.tensor(row, dtype=torch.float64)
    return full


def between(rho: Tensor, values: Tensor) -> Tensor:
    """Normal correlations ``(D, D)`` that give features the rank correlations ``rho``, or come as near as they can.

    Args:
        rho: rank correlations ``(D, D)``.
        values: ``(CELLS, D)`` feature values at the middles of ``CELLS`` equally likely cells, float64.
    """
    a = _expansion(values)
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


def itself(rho: Tensor, values: Tensor) -> Tensor:
    """Normal correlations ``(L,)`` that give one feature at two times the rank correlations ``rho``; 0 if it is constant.

    Args:
        rho: rank correlations ``(L,)``.
        values: ``(CELLS,)`` values of the feature, as in ``between``.
    """
    jumps = _standardized_ranks(values[:, None])[0].diff()
    if not len(rho) or not bool(jumps.any()):
        return torch.zeros_like(rho)
    # Small jumps are taken together, at their mean score; a large one keeps its own.
    group = (jumps.cumsum(0) / jumps.sum() * JUMPS).long()
    size = torch.zeros(JUMPS + 1, dtype=torch.float64).index_add(0, group, jumps)
    place = torch.zeros_like(size).index_add(0, group, jumps * _edges(len(values)))
    d, h = size[size > 0], (place / size)[size > 0]
    angles = torch.linspace(-torch.pi / 2, torch.pi / 2, ANGLES, dtype=torch.float64)
    slopes = torch.stack([_slope(d, h, float(angle)) for angle in angles])
    reached = torch.cat([slopes.new_zeros(1), ((slopes[1:] + slopes[:-1]) / 2 * angles.diff()).cumsum(0)])
    reached = reached - reached[ANGLES // 2]
    right = torch.searchsorted(reached, rho.contiguous()).clamp(1, ANGLES - 1)
    share = (rho - reached[right - 1]) / (reached[right] - reached[right - 1]).clamp(min=1e-12)
    return torch.sin(angles[right - 1] + share.clamp(0, 1) * (angles[right] - angles[right - 1]))


def _slope(d: Tensor, h: Tensor, angle: float) -> Tensor:
    """Derivative of the rank correlation by the angle whose sine is the normal correlation.

    Args:
        d, h: ``(M,)`` jumps of the ranks and their scores.
        angle: from -pi / 2 to pi / 2.
    """
    sine, square = math.sin(angle), max(math.cos(angle) ** 2, 1e-12)
    # (h_m^2 + h_n^2 - 2 h_m h_n sin) / (2 cos^2), without the difference of large numbers near both ends
    side = 1.0 if sine >= 0 else -1.0
    exponent = (h[:, None] - side * h) ** 2 / (2 * square) + side * h[:, None] * h / (1 + abs(sine))
    return d @ torch.exp(-exponent) @ d / (2 * torch.pi)


def _expansion(values: Tensor) -> Tensor:
    """Hermite coefficients ``(D, TERMS)`` of the standardized average ranks; zero for a constant feature.

    Ranks are step functions over the cells, for which the integrals are exact:
    ``a_k = sum over edges of (step) h_(k-1)(edge) density(edge) / sqrt(k)``.
    """
    edges = _edges(len(values))
    polynomials = [torch.ones_like(edges), edges]
    for k in range(1, TERMS - 1):
        polynomials.append((edges * polynomials[k] - k**0.5 * polynomials[k - 1]) / (k + 1) ** 0.5)
    density = torch.exp(-0.5 * edges**2) / (2 * torch.pi) ** 0.5
    order = torch.arange(1, TERMS + 1, dtype=torch.float64)
    jumps = _standardized_ranks(values).diff(dim=1)
    return jumps @ (torch.stack(polynomials, dim=1) * density[:, None]) / order.sqrt()


def _edges(cells: int) -> Tensor:
    """Normal scores ``(cells - 1,)`` between equally likely cells."""
    return torch.special.ndtri(torch.arange(1, cells, dtype=torch.float64) / cells)


def _standardized_ranks(values: Tensor) -> Tensor:
    """Average ranks ``(D, CELLS)`` of the columns of ``values (CELLS, D)``, with variance 1; 0 for a constant one."""
    ranks = torch.stack([_average_ranks(column) for column in values.T])
    ranks = ranks - ranks.mean(1, keepdim=True)
    return ranks / ranks.std(1, unbiased=False, keepdim=True).clamp(min=1 / len(values))


def _average_ranks(column: Tensor) -> Tensor:
    _, place, count = torch.unique(column, return_inverse=True, return_counts=True)
    return (count.cumsum(0) - count.double() / 2)[place]


def positive(matrix: Tensor) -> Tensor:
    """The nearest positive definite correlation matrix, by alternating projections (Higham 2002)."""
    if float(torch.linalg.eigvalsh(matrix)[0]) >= LEAST_EIGENVALUE:
        return matrix
    matrix = clipped(alternated(matrix, lambda found: found.clone().fill_diagonal_(1.0)))
    spread = matrix.diagonal().sqrt()
    return matrix / (spread[:, None] * spread)


def alternated(matrix: Tensor, onto: Callable[[Tensor], Tensor]) -> Tensor:
    """Project a symmetric matrix in turn onto the positive definite matrices and onto another set (Dykstra 1983).

    Args:
        matrix: ``(D, D)``.
        onto: the nearest matrix of the other set, which holds the last one.
    """
    correction = torch.zeros_like(matrix)
    for _ in range(PROJECTIONS):
        corrected = matrix - correction
        matrix = clipped(corrected)
        correction = matrix - corrected
        matrix = onto(matrix)
    return matrix


def clipped(matrix: Tensor) -> Tensor:
    """The nearest symmetric matrix whose eigenvalues are at least ``LEAST_EIGENVALUE``."""
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    return (vectors * eigenvalues.clamp(min=LEAST_EIGENVALUE)) @ vectors.T
