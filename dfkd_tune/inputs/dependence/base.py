"""What a kind of dependence provides: the mixing of independent normal scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Values = Callable[[Sequence[int]], Tensor]
"""Columns -> the values of these features at the middles of ``copula.CELLS`` equally likely cells, ``(CELLS, columns)``."""


class Mixer(Protocol):
    """A map of independent normal scores to dependent ones, which are standard normal too."""

    def of(self, scores: Tensor) -> Tensor:
        """Map scores ``(N, D)``, float64, to a tensor of the same shape; columns of other mixers stay as they are."""
        ...


@dataclass(frozen=True)
class Mixing:
    """A linear map of independent normal scores to correlated ones, for K groups of L columns each.

    With ``Q = across across.T`` and ``A_k`` of ``along``, column ``l`` of group ``k`` and column ``m`` of group ``j`` have the
    covariance ``Q_kj (A_k A_j.T)_lm``. The memory is ``K^2 + K L^2`` numbers, not the square of all columns.

    Args:
        columns: ``(K, L)`` columns of the scores.
        across: ``(K, K)`` lower triangular matrix.
        along: ``(K, L, L)`` matrices, or ``(1, L, L)`` if all groups have the same.
    """

    columns: Tensor
    across: Tensor
    along: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """Mix scores ``(N, D)``, float64, into a tensor of the same shape; other columns stay as they are."""
        device = scores.device
        mixed = torch.einsum("kj,njl->knl", self.across.to(device), scores[:, self.columns.to(device)])
        mixed = mixed @ self.along.mT.to(device)
        return scores.index_copy(1, self.columns.flatten().to(device), mixed.transpose(0, 1).flatten(1))


class Dependence(Protocol):
    """How features go together."""

    def mixings(self, values: Values) -> Sequence[Mixer]:
        """The maps of normal scores, in their order.

        Args:
            values: the marginal distributions of the features.
        """
        ...

    def tree(self) -> Any:
        """The declaration as plain values for JSON."""
        ...

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """Which features go together, by their names, and how.

        Args:
            names: names of all features.
        """
        ...
