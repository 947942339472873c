"""Describe a table with differential privacy: what is published, and what it costs.

Public before the table is read: names, order and kinds of the columns, ranges, levels and units (``bounds``). From the table come, each
with noise: the shares of rows in the cells of every column, among them missing values; the number of rows, which is the sum of
these; and the products of scores, which tell rank correlations. Nothing else of the table reaches a description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dfkd_tune.tables.describe import Description
from dfkd_tune.tables.private.accountant import Accountant, Privacy, library
from dfkd_tune.tables.private.bounds import Bounds
from dfkd_tune.tables.private.correlations import correlations_of, sensitivity, sums, tables_of
from dfkd_tune.tables.private.quantiles import quantiles_of
from dfkd_tune.tables.private.tree import BRANCHES, distribution, layers, spread
from dfkd_tune.tables.read import Table

TIERS = ("quantiles", "correlation")
SHARES = "quantiles and levels"
CORRELATIONS = "correlations"
OF_SHARES = 0.7
"""Part of the budget for quantiles and levels where correlations are described as well."""
POOR_SHARE = 0.05
"""Noise of a share of rows from which a warning is given."""
POOR_CORRELATION = 0.2
"""Noise of a correlation from which a warning is given."""
SEEN = 0.01
"""Least share of undeclared values that is told."""
CERTAIN = 4.0
"""Least number of undeclared values that is told, in standard deviations of the noise."""


@dataclass
class PrivateDescription(Description):
    """A description with differential privacy.

    Args:
        privacy: the guarantee.
        budget: what each part spent, as lines of text.
        share_error: standard deviation of the noise in a share of rows.
        correlation_error: that in a rank correlation; None without correlations.
        undeclared: name of a column -> share of rows with a missing value or a level that its bounds lack.
    """

    privacy: Privacy = field(default_factory=lambda: Privacy(1.0))
    budget: list[str] = field(default_factory=list)
    share_error: float = 0.0
    correlation_error: float | None = None
    undeclared: dict[str, float] = field(default_factory=dict)

    @property
    def guarantee(self) -> str:
        """The guarantee in words."""
        return f"differential privacy of every row, epsilon {self.privacy.epsilon:g}, delta {self.privacy.delta:g}"

    @property
    def errors(self) -> str:
        """The noise in words."""
        pairs = "" if self.correlation_error is None else f", {self.correlation_error:.2g} in a rank correlation"
        percent = 100 * self.share_error
        share = f"{percent:.2g}" if percent < 10 else f"{percent:,.0f}"
        return f"noise (standard deviation): {share} % of the rows in a share of a column{pairs}"

    def head(self, tier: str) -> list[str]:
        """What a features file says of the guarantee, the budget, and what is public."""
        return [
            f"about {self.rows} rows described ({tier}) with {self.guarantee}",
            "the guarantee is about adding or removing one row; the number of rows has noise, too",
            f"noise and accounting: {library()}, discrete Gaussian noise, zero-concentrated differential privacy (zCDP), whose rho adds up",
            *self.budget,
            self.errors,
            "public, and not from the table: names, order, ranges, levels, units, which are whole numbers, which may be missing",
            "not described: extremes, words that are not declared, dependence in time or between more than two columns",
        ]

    def lines(self) -> list[str]:
        """The description in words, one line per kind of statistic."""
        return [*super().lines(), self.errors]

    def about(self) -> str:
        """The number of rows, and how they are described."""
        return f"about {self.rows:,} rows are described with {self.guarantee}; {self.errors}"

    def warnings(self) -> list[str]:
        """What makes this description poor, and what helps."""
        warnings = []
        correlation_error = self.correlation_error or 0.0
        if self.share_error > POOR_SHARE or correlation_error > POOR_CORRELATION:
            rule = f"about {self.rows:,} rows are few for epsilon {self.privacy.epsilon:g}; {self.errors}"
            warnings.append(f"{rule}; describe more rows or fewer columns, or raise --epsilon")
        if self.privacy.delta > 1 / self.rows:
            rule = f"delta {self.privacy.delta:g} is more than one in {self.rows:,} rows"
            warnings.append(f"{rule}, which weakens the guarantee; lower --delta")
        if self.undeclared:
            told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.undeclared.items())
            warnings.append(
                f"values are missing or of no declared level, and left out: {told}; declare them in --bounds"
            )
        return warnings


def describe_privately(table: Table, tier: str, privacy: Privacy, bounds: Sequence[Bounds]) -> PrivateDescription:
    """Describe a table with differential privacy.

    Args:
        table: the table; a missing value is NaN.
        tier: one of ``TIERS``.
        privacy: the guarantee.
        bounds: what is public of each column, in their order.

    Raises:
        FeaturesError: a column has words and its bounds numbers, or the other way around.
    """
    pairs = tier == "correlation" and len(bounds) > 1
    each = zip(bounds, table.columns.T, strict=True)
    codes = np.stack([b.codes(column, table.words.get(b.name)) for b, column in each], axis=1)
    accountant = Accountant(
        privacy, {SHARES: OF_SHARES, CORRELATIONS: 1 - OF_SHARES} if pairs else {SHARES: 1.0}, codes
    )
    changed = sum(max(1, b.depth) for b in bounds) ** 0.5
    noised = accountant.measure(SHARES, lambda rows: _counts(rows, bounds), changed)
    noise = accountant.spent[-1].noise
    parts = _split(noised, bounds)
    rows = _rows(parts)
    shares, told = [], PrivateDescription(round(rows), privacy=privacy, share_error=noise / rows)
    for b, part in zip(bounds, parts, strict=True):
        beside = max(0.0, float(part[-1][0]))
        found = distribution(part[:-1], b.leaves, noise) if b.depth else spread(part[0])
        gaps = float(spread(np.array([rows - beside, beside]))[1]) if b.gaps else 0.0
        told.features.append(_item(b, found, gaps))
        if not b.gaps and beside > max(SEEN * rows, CERTAIN * noise):
            told.undeclared[b.name] = min(1.0, beside / rows)
        shares.append(np.append((1 - gaps) * found, gaps))
    if pairs:
        # A value beside the cells ranks last if it may be missing. Otherwise its rank is unknown.
        tables = [
            np.where([True] * b.leaves + [b.gaps], t, 0.0) for b, t in zip(bounds, tables_of(shares), strict=True)
        ]
        measured = accountant.measure(CORRELATIONS, lambda rows: sums(_scores(rows, tables)), sensitivity(len(bounds)))
        still = np.array([not each.any() for each in tables])
        matrix, told.correlation_error = correlations_of(measured, rows, accountant.spent[-1].noise, still)
        full = np.round(matrix, 3).clip(-1, 1) + 0.0
        told.rank_correlation = [[*row[:i].tolist(), 1.0] for i, row in enumerate(full)]
    elif tier == "correlation":
        told.rank_correlation = [[1.0]]
    told.budget = accountant.table()
    return told


def _counts(codes: np.ndarray, bounds: Sequence[Bounds]) -> np.ndarray:
    """Counts of all cells and nodes of all columns, from codes ``(N, D)``."""
    counts = []
    for b, column in zip(bounds, codes.T, strict=True):
        cells = np.bincount(column, minlength=b.leaves + 1)
        counts += [*(layers(cells[:-1], b.depth) if b.depth else [cells[:-1]]), cells[-1:]]
    return np.concatenate(counts)


def _split(vector: np.ndarray, bounds: Sequence[Bounds]) -> list[list[np.ndarray]]:
    """For each column its layers, or the counts of its levels, and the count beside."""
    sizes = [[BRANCHES**layer for layer in range(1, b.depth + 1)] or [b.leaves] for b in bounds]
    parts = np.split(vector, np.cumsum([size for each in sizes for size in [*each, 1]])[:-1])
    return [[parts.pop(0) for _ in range(len(each) + 1)] for each in sizes]


def _rows(parts: Sequence[Sequence[np.ndarray]]) -> float:
    """Number of rows: the mean over columns of the sum of their cells, weighted by its precision; at least 1."""
    totals = np.array([part[0].sum() + part[-1].sum() for part in parts])
    weights = np.array([1 / (len(part[0]) + 1) for part in parts])
    return max(1.0, float(totals @ weights / weights.sum()))


def _item(b: Bounds, shares: np.ndarray, gaps: float) -> dict[str, Any]:
    """Entry of a features file."""
    item = {key: value for key, value in b.item.items() if key not in ("levels", "missing")}
    if b.levels is not None:
        told = [float(f"{share:.6g}") for share in shares]
        return item | {"levels": [*b.levels]} | ({"probabilities": told} if len(told) > 1 else {})
    return item | {"quantiles": quantiles_of(shares, b)} | ({"missing": float(f"{gaps:.6g}")} if b.gaps else {})


def _scores(codes: np.ndarray, tables: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([each[column] for each, column in zip(tables, codes.T, strict=True)], axis=1)
