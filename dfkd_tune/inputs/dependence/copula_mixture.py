"""A mixture of Gaussian copulas: groups of rows in which features go together differently (Tewari et al. 2011).

The normal scores of a row have the density ``sum_k w_k N(m_k, C_k)``. The marginal distribution of each feature is declared by itself, so
each score is mapped through its own marginal distribution in the mixture to a standard normal one. One group is a Gaussian copula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.base import Values
from dfkd_tune.inputs.dependence.copula import clipped, matrix_of
from dfkd_tune.utils.quoting import named, quoted

KEYS = ("share", "mean", "covariance")
MOST_GROUPS = 64
"""Largest number of groups in a file."""
LARGEST = 20.0
"""Largest mean and variance of a normal score."""
OFF = 0.01
"""How far the sum of the shares may be from 1."""
TAIL = 1e-12
"""Least probability of a score: its normal score is finite."""


@dataclass(frozen=True)
class Group:
    """One component of the mixture.

    Args:
        share: its probability.
        mean: ``D`` means of the normal scores.
        covariance: their covariances, lower triangle with its diagonal, one row per feature.
    """

    share: float
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def tree(self) -> dict[str, Any]:
        """The group as plain values."""
        rows = [list(row) for row in self.covariance]
        return {"share": self.share, "mean": list(self.mean), "covariance": rows}


@dataclass(frozen=True)
class CopulaMixture:
    """How features go together, by groups of rows.

    Args:
        groups: the components of the mixture.
    """

    groups: tuple[Group, ...]

    def mixings(self, values: Values) -> list[MixtureMixer]:
        """One map of all columns; arguments are those of ``Dependence``."""
        shares = torch.tensor([group.share for group in self.groups], dtype=torch.float64)
        means = torch.tensor([group.mean for group in self.groups], dtype=torch.float64)
        covariances = torch.stack([clipped(matrix_of(group.covariance)) for group in self.groups])
        return [MixtureMixer(shares / shares.sum(), means, torch.linalg.cholesky(covariances))]

    def tree(self) -> Any:
        """The groups."""
        return [group.tree() for group in self.groups]

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """All features and the number of groups; arguments are those of ``Dependence``."""
        shares = sorted((group.share for group in self.groups), reverse=True)
        span = f"{100 * shares[-1]:.2g} to {100 * shares[0]:.2g} % of the rows each"
        return [([*names], f"a mixture of {len(self.groups)} Gaussian copulas, {span}")]


@dataclass(frozen=True)
class MixtureMixer:
    """The map of independent normal scores to those of a mixture, which are standard normal one by one.

    Args:
        shares: ``(K,)`` probabilities of the groups.
        means: ``(K, D)``.
        roots: ``(K, D, D)`` lower triangular factors of the covariances.
    """

    shares: Tensor
    means: Tensor
    roots: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """Map scores ``(N, D)``, float64, to a tensor of the same shape.

        The first score chooses the group: its probability falls into one of intervals as long as the shares. Within its interval it is uniform
        again, so that no further random number is needed and a low-discrepancy point remains one.
        """
        shares, means, roots = (part.to(scores.device) for part in (self.shares, self.means, self.roots))
        ends = shares.cumsum(0)
        first = torch.special.ndtr(scores[:, 0])
        chosen = torch.searchsorted(ends, first).clamp(max=len(shares) - 1)
        within = ((first - ends[chosen]) / shares[chosen] + 1).clamp(TAIL, 1 - TAIL)
        own = torch.cat([torch.special.ndtri(within)[:, None], scores[:, 1:]], dim=1)
        made, spreads = torch.empty_like(own), roots.square().sum(2).sqrt()
        for k in range(len(shares)):
            here = chosen == k
            made[here] = own[here] @ roots[k].T + means[k]
        below = torch.zeros_like(made)
        for share, mean, spread in zip(shares, means, spreads, strict=True):
            below += share * torch.special.ndtr((made - mean) / spread)
        return torch.special.ndtri(below.clamp(TAIL, 1 - TAIL))


def copula_mixture(groups: Any, width: int, place: str) -> CopulaMixture:
    """Check the groups of a file.

    Args:
        groups: what the file holds: mappings with ``share``, ``mean`` and ``covariance``.
        width: number of features D.
        place: of the key, for messages.

    Raises:
        FeaturesError: naming the entry and the rule it breaks.
    """
    if not isinstance(groups, list) or not 1 <= len(groups) <= MOST_GROUPS:
        found = f"{len(groups)} groups" if isinstance(groups, list) else quoted(groups)
        raise FeaturesError(place, f"must be a list of 1 to {MOST_GROUPS} groups, got {found}")
    checked = tuple(_group(group, width, f"{place}[{k}]") for k, group in enumerate(groups))
    total = sum(group.share for group in checked)
    if abs(total - 1) > OFF:
        raise FeaturesError(place, f"the shares must sum to 1, got {total:.4g}")
    return CopulaMixture(checked)


def _group(group: Any, width: int, place: str) -> Group:
    if not isinstance(group, dict) or set(group) != set(KEYS):
        found = ", ".join(map(named, group)) if isinstance(group, dict) else quoted(group)
        raise FeaturesError(place, f"must hold {', '.join(KEYS)}, got {found or 'nothing'}")
    share, mean, rows = (group[key] for key in KEYS)
    if not _number(share) or not 0 < share <= 1:
        raise FeaturesError(f"{place}.share", f"must be a number above 0, 1 at most, got {quoted(share)}")
    if not isinstance(mean, list) or len(mean) != width:
        found = f"{len(mean)}" if isinstance(mean, list) else quoted(mean)
        raise FeaturesError(f"{place}.mean", f"must be a list of {width} numbers, one a feature, got {found}")
    for i, value in enumerate(mean):
        if not _number(value) or abs(value) > LARGEST:
            rule = f"must be a number from {-LARGEST:g} to {LARGEST:g}, in normal scores, got {quoted(value)}"
            raise FeaturesError(f"{place}.mean[{i}]", rule)
    if not isinstance(rows, list) or len(rows) != width:
        found = f"{len(rows)} rows" if isinstance(rows, list) else quoted(rows)
        raise FeaturesError(f"{place}.covariance", f"must be a list of {width} rows, one a feature, got {found}")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != i + 1:
            found = f"{len(row)}" if isinstance(row, list) else quoted(row)
            raise FeaturesError(
                f"{place}.covariance[{i}]", f"must hold {i + 1} numbers, up to the diagonal, got {found}"
            )
        for j, value in enumerate(row):
            if not _number(value) or abs(value) > LARGEST:
                rule = f"must be a number from {-LARGEST:g} to {LARGEST:g}, got {quoted(value)}"
                raise FeaturesError(f"{place}.covariance[{i}][{j}]", rule)
        if row[i] <= 0:
            raise FeaturesError(f"{place}.covariance[{i}][{i}]", f"a variance is above 0, got {quoted(row[i])}")
    matrix = matrix_of(rows)
    least = float(torch.linalg.eigvalsh(matrix)[0] / matrix.diagonal().max())
    if least < -OFF:
        rule = f"no data have these covariances (an eigenvalue is {least:.2g} of the largest variance)"
        raise FeaturesError(f"{place}.covariance", rule, remedy="check signs")
    return Group(float(share), tuple(map(float, mean)), tuple(tuple(map(float, row)) for row in rows))


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float("inf")
