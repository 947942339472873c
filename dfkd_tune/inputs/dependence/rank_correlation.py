"""Rank correlations between features, as a lower triangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.base import Mixing, Values
from dfkd_tune.inputs.dependence.copula import between, matrix_of, positive
from dfkd_tune.utils.quoting import quoted

Rows = tuple[tuple[float, ...], ...]
"""A lower triangle with its diagonal."""
SLACK = 0.2
"""How far below zero an eigenvalue may be: rounding and pairwise deletion of rows distort a measured matrix."""
MOST_PAIRS = 12
"""Largest number of pairs that are listed."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman rank correlations of all features.

    Args:
        rows: lower triangle with its diagonal, one row per feature.
    """

    rows: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(map(float, row)) for row in self.rows))

    def mixings(self, values: Values) -> list[Mixing]:
        """One mixing of all columns; arguments are those of ``Dependence``."""
        every = range(len(self.rows))
        root = torch.linalg.cholesky(positive(between(matrix_of(self.rows), values(every))))
        return [Mixing(torch.arange(len(every))[None], torch.ones(1, 1, dtype=root.dtype), root[None])]

    def tree(self) -> Any:
        """The rows."""
        return self.rows

    def in_words(self, names: Sequence[str]) -> list[tuple[list[str], str]]:
        """All features and the strongest pairs; arguments are those of ``Dependence``."""
        return [([*names], f"rank correlations of all pairs, the strongest {strongest(names, self.rows)}")]


def strongest(names: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    """The strongest rank correlations in words; the features file holds all of them."""
    pairs = [(r, i, j) for i, row in enumerate(rows) for j, r in enumerate(row[:i])]
    found = sorted(pairs, key=lambda pair: -abs(pair[0]))[:MOST_PAIRS]
    return ", ".join(f"{names[j]} and {names[i]} {r:.2f}" for r, i, j in found)


def triangle(rows: Any, width: int, place: str, what: str = "feature") -> Rows:
    """Check the rank correlations of a file: the lower triangle with its diagonal, one row per feature or channel.

    Raises:
        FeaturesError: naming the entry and the rule it breaks.
    """
    if not isinstance(rows, list) or len(rows) != width:
        found = f"{len(rows)} rows" if isinstance(rows, list) else quoted(rows)
        raise FeaturesError(place, f"must be a list of {width} rows, one a {what}, got {found}")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != i + 1:
            found = f"{len(row)}" if isinstance(row, list) else quoted(row)
            raise FeaturesError(f"{place}[{i}]", f"must hold {i + 1} numbers, up to the diagonal, got {found}")
        for j, value in enumerate(row):
            if type(value) not in (int, float) or not -1 <= value <= 1:
                raise FeaturesError(f"{place}[{i}][{j}]", f"must be a number from -1 to 1, got {quoted(value)}")
        if row[i] != 1:
            raise FeaturesError(f"{place}[{i}][{i}]", f"a {what}'s correlation with itself is 1, got {quoted(row[i])}")
    least = float(torch.linalg.eigvalsh(matrix_of(rows))[0])
    if least < -SLACK:
        raise FeaturesError(
            place, f"no data have these correlations (an eigenvalue is {least:.2g})", remedy="check signs"
        )
    return tuple(tuple(map(float, row)) for row in rows)
