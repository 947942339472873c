"""Describe a table as a features file that holds aggregates and no rows.

Every published number is an aggregate of at least ``at_least`` rows (K):

- A *quantile* is the mean of K or more neighboring order statistics. The blocks of rows are disjoint, because the
  difference of two overlapping means could reveal a row. The K smallest and K largest rows are in no block, so no
  extreme is published.
- A value that fills at least 2 % of the rows is published exactly, with the range of its ranks. Fewer than K rows
  beside it count as part of it.
- A column with few distinct values becomes *levels* with probabilities. Levels with fewer than K rows are withheld.
  Words are published only as levels, and a missing value may be one more level, ``null``. In any other column of numbers,
  the share of missing values is published beside the description of the values that are there.
- A column is marked as one of whole numbers where fewer than K rows hold a fraction.
- Where levels or a share of missing values are withheld, the probabilities of the column are rounded to K rows, those of quantiles to
  half as many: exact ones would tell by their denominator how many rows are withheld.
- *Moments*, *rank correlations* and *autocorrelations* are aggregates of all rows. A column of one published value has no
  correlations: those of the few rows with another value would tell where these rows rank in all other columns.
- A *mixture* is of groups of K rows or more, and of twice as many as there are columns: the share of each, and the means and
  covariances of its normal scores.

This is aggregation, not differential privacy: someone who knows all rows but one may learn about that one. The package
``private`` describes with differential privacy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import torch

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.copula import WIDEST
from dfkd_tune.inputs.dependence.stationary import nearest
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.copula_mixture import fit_mixture
from dfkd_tune.tables.read import Table

TIERS = ("moments", "quantiles", "correlation", "mixture")
LEAST_MULTIPLE = 10
"""Smallest number of rows of a table, as a multiple of ``at_least``."""
LEVELS = 20
"""Largest number of distinct values of a column that becomes levels."""
COVERED = 0.95
"""Smallest share of the rows that published levels must cover; otherwise the column is treated as continuous."""
ATOM = 0.02
"""Smallest share of rows of a value that is published exactly: about a step of the grid, which blurs smaller ones."""
GRID = 48
FINEST = 2_000
"""Largest number of blocks of a table; the blocks of a large table hold more than ``at_least`` rows."""
TABLE = "the table"
JUMP = 1e-5
"""Probability between the values on both sides of a jump."""


@dataclass
class Description:
    """The published description of a table.

    Args:
        rows: number of rows.
        features: entries of a features file.
        rank_correlation: lower triangle of the rank correlations, or None.
        copula_mixture: groups of the mixture, or None.
        withheld: name of a column -> number of withheld levels.
        filled: names of the columns whose few missing values are not published.
        autocorrelations: of windows, for each column its rank autocorrelations from lag 1 to one less than the steps; else None.
    """

    rows: int
    features: list[dict[str, Any]] = field(default_factory=list)
    rank_correlation: list[list[float]] | None = None
    copula_mixture: list[dict[str, Any]] | None = None
    withheld: dict[str, int] = field(default_factory=dict)
    filled: list[str] = field(default_factory=list)
    autocorrelations: list[list[float]] | None = None

    def tree(self) -> dict[str, Any]:
        """The description as the content of a features file."""
        if self.autocorrelations is None:
            together = {"rank_correlation": self.rank_correlation, "copula_mixture": self.copula_mixture}
            return {"features": self.features} | {key: value for key, value in together.items() if value is not None}
        channels = [
            item | ({"autocorrelation": lags} if any(lags) else {})
            for item, lags in zip(self.features, self.autocorrelations, strict=True)
        ]
        return {"window": {"steps": self.steps, "channels": channels, "correlation": self.rank_correlation}}

    @property
    def steps(self) -> int | None:
        """Number of steps of a window; None if rows are described."""
        return None if self.autocorrelations is None else len(self.autocorrelations[0]) + 1

    def lines(self) -> list[str]:
        """The description in words, one line per kind of statistic."""
        told = {kind: [f for f in self.features if kind in f] for kind in ("levels", "quantiles", "mean")}
        constant = [f for f in told["levels"] if len(f["levels"]) == 1]
        lines = []
        if told["mean"]:
            lines.append(f"{len(told['mean'])} with mean and standard deviation")
        if told["quantiles"]:
            counts = [len(f["quantiles"]) for f in told["quantiles"]]
            each = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
            lines.append(f"{len(counts)} with quantiles, {each} each")
        if switched := len(told["levels"]) - len(constant):
            count = sum(len(f["levels"]) for f in told["levels"] if len(f["levels"]) > 1)
            lines.append(f"{switched} with levels and their probabilities, {count} levels in all")
        if constant:
            lines.append(f"{len(constant)} constant")
        if whole := sum("integer" in f for f in self.features):
            lines.append(f"{whole} of them marked as whole numbers")
        if gapped := sum("missing" in f for f in self.features):
            lines.append(f"{gapped} of them with the share of missing values")
        if self.rank_correlation is not None:
            lines.append(
                f"rank correlations of {len(self.features) * (len(self.features) - 1) // 2:,} pairs, to 3 digits"
            )
        if self.copula_mixture is not None:
            least = min(group["share"] for group in self.copula_mixture) * self.rows
            lines.append(f"a mixture of {len(self.copula_mixture)} Gaussian copulas, of {least:,.0f} rows or more each")
        if self.steps is not None:
            lines.append(f"autocorrelations of {self.steps - 1} lags, to 4 digits")
        if self.withheld:
            lines.append(f"withheld: {sum(self.withheld.values())} rare levels, of {', '.join(self.withheld)}")
        if self.filled:
            lines.append(f"withheld: rare missing values, of {', '.join(self.filled)}")
        return lines

    def about(self) -> str:
        """The number of rows, and how they are described."""
        return f"{self.rows:,} rows are described by aggregates"

    def _repr_html_(self) -> str:
        """What is published of each column, the number of rows, and what is withheld, for a notebook."""
        withheld = [escape(line) for line in self.lines() if line.startswith("withheld")]
        told = ". ".join([self.about(), *withheld])
        return f"<p>{told}.</p>{parse_features(self.tree(), TABLE)._repr_html_()}"


def describe(table: Table, tier: str = "quantiles", at_least: int = 10, steps: int | None = None) -> Description:
    """Describe a table.

    Args:
        table: table of the features in the teacher's order, or of the channels of windows; a missing value is one more
            level, or described by its share.
        tier: one of ``TIERS``; levels are published in each.
        at_least: smallest number of rows behind every number.
        steps: number of steps of a window, for a table of series.

    Raises:
        FeaturesError: there are too few rows or values, or a column of words has no levels.
    """
    rows = len(table.columns)
    if rows < LEAST_MULTIPLE * at_least:
        rule = f"its number of rows is {rows:,}, {LEAST_MULTIPLE * at_least:,} are needed when every number is of {at_least} rows"
        raise FeaturesError(TABLE, rule, remedy="describe more rows, or lower --at-least")
    if tier == "mixture" and steps is not None:
        raise FeaturesError(TABLE, "tier mixture is of rows, not of windows", remedy="take tier correlation")
    if tier == "mixture" and len(table.names) > WIDEST:
        rule = f"tier mixture is of {WIDEST} columns at most, got {len(table.names):,}"
        raise FeaturesError(TABLE, rule, remedy="take tier correlation")
    told = Description(rows)
    for name, column in zip(table.names, table.columns.T, strict=True):
        x = np.sort(column[~np.isnan(column)]) + 0.0  # -0 becomes 0
        item: dict[str, Any] = {"name": name}
        missing, often = rows - len(x), rows - len(x) >= at_least
        levels, withheld = _levels(x, missing, at_least, table.words.get(name))
        if levels:
            item |= levels
            told.withheld |= {name: withheld} if withheld else {}
        elif name in table.words or len(x) < LEAST_MULTIPLE * at_least:
            raise _no_levels(name, name in table.words, x, rows, at_least)
        elif tier == "moments":
            spread = float(x.std())
            item |= {"mean": _rounded(float(x.mean()), spread), "std": _rounded(spread, spread)}
        else:
            item["quantiles"] = _quantiles(x, at_least, 0 if often else missing)
        if not levels and missing:
            item |= {"missing": float(f"{missing / rows:.6g}")} if often else {}
            told.filled += [] if often else [name]
        # A mark that one row takes away tells of that row.
        whole = not levels and int((x != np.rint(x)).sum()) < at_least
        told.features.append(item | ({"integer": True} if whole else {}))
    if tier == "correlation" or steps is not None:
        scores = _scores(table.columns, told.features, at_least)
        told.rank_correlation = _rank_correlation(scores)
        told.autocorrelations = None if steps is None else _autocorrelations(table, scores, steps, at_least)
    if tier == "mixture":
        ranks = np.stack([_ranks(x, f, at_least) for x, f in zip(table.columns.T, told.features, strict=True)], axis=1)
        told.copula_mixture = fit_mixture(ranks, at_least)
    return told


def _levels(x: np.ndarray, missing: int, at_least: int, words: tuple[str, ...] | None) -> tuple[dict[str, Any], int]:
    """Levels of a sorted column, and the number of withheld ones; empty if the column is not described by levels."""
    values, counts = np.unique(x, return_counts=True)
    rows = len(x) + missing
    told: list[Any] = values.tolist() if words is None else [words[int(value)] for value in values]
    if missing:
        told, counts = [*told, None], np.append(counts, missing)
    often = counts >= at_least
    if len(values) > LEVELS or counts[often].sum() < COVERED * rows:
        return {}, 0
    kept = counts[often] if often.all() else np.floor(counts[often] / at_least + 0.5)
    told, shares = [told[i] for i in np.flatnonzero(often)], kept / kept.sum()
    # To 6 digits, not decimals: a rare level must not get probability 0.
    levels = {"levels": told} | ({"probabilities": [float(f"{p:.6g}") for p in shares]} if len(told) > 1 else {})
    return levels, int((~often).sum())


def _no_levels(name: str, words: bool, x: np.ndarray, rows: int, at_least: int) -> FeaturesError:
    """The error for a column that cannot be described: of words without levels, or with few values."""
    if not words:
        rule = f"{len(x):,} of {rows:,} values are there, {LEAST_MULTIPLE * at_least:,} are needed when every number is of {at_least} rows"
        return FeaturesError(name, rule, remedy="leave the column out with --target, or lower --at-least")
    counts = np.unique(x, return_counts=True)[1]
    few = f"{len(counts):,} different values" if len(counts) > LEVELS else "rare values"
    rule = (
        f"{few}, and levels are {LEVELS} at most that {at_least} rows share, together {100 * COVERED:g} % of the rows"
    )
    remedy = "write the words as the numbers that the teacher takes, or leave the column out with --target"
    return FeaturesError(name, f"holds words: {rule}", remedy=remedy)


def _quantiles(x: np.ndarray, at_least: int, withheld: int = 0) -> dict[float, float]:
    """Probability -> quantile of a sorted column: both ends of every atom, and blocks of rows between atoms.

    Args:
        x: the values, sorted.
        at_least: smallest number of rows behind every number.
        withheld: number of further rows, of which nothing may be told.
    """
    rows = len(x)
    block = _block(rows, at_least)
    step = at_least / 2 / (rows + withheld)

    def probability(share: float) -> float:
        return step * math.floor(share / step + 0.5) if withheld else share

    # The spread of the published rows determines the number of digits; the withheld extremes must not affect it.
    spread = float(x[rows - block - 1] - x[block])
    points: list[tuple[float, float]] = []
    done, least = 0.0, -math.inf
    for begin, end, value in [*_atoms(x, block), (rows, rows, math.inf)]:
        means = [(p, _rounded(mean, spread)) for p, mean in _blocks(x, done, begin, block)]
        points += [(probability(p), min(max(mean, least), value)) for p, mean in means]
        if begin < end:
            points.append((probability(max(begin, block) / rows) + JUMP, value))
            points.append((probability(min(end, rows - block) / rows) - JUMP, value))
        done, least = end, value
    return {round(p, 6): value for p, value in points}


def _block(rows: int, at_least: int) -> int:
    """Number of rows behind a quantile of a column of so many rows."""
    return max(at_least, rows // FINEST)


def _atoms(x: np.ndarray, block: int) -> list[tuple[float, float, float]]:
    """Frequent values of a sorted column as ``(first row, end row, value)``."""
    values, first, counts = np.unique(x, return_index=True, return_counts=True)
    often = counts >= max(2 * block, ATOM * len(x))
    values, begin, end = values[often], first[often].astype(float), (first + counts)[often].astype(float)
    if not len(values):
        return []
    # Fewer rows than a block are not published: they count towards the atom beside them, or half to each of two.
    begin[0] = begin[0] if begin[0] >= block else 0.0
    end[-1] = end[-1] if len(x) - end[-1] >= block else len(x)
    narrow = begin[1:] - end[:-1] < block
    middle = (begin[1:] + end[:-1]) / 2
    begin[1:], end[:-1] = np.where(narrow, middle, begin[1:]), np.where(narrow, middle, end[:-1])
    return list(zip(begin.tolist(), end.tolist(), values.tolist(), strict=True))


def _blocks(x: np.ndarray, begin: float, end: float, block: int) -> list[tuple[float, float]]:
    """Probability and mean of disjoint blocks of rows between two atoms, at both ends and on the grid between them."""
    rows = len(x)
    low, high = max(int(begin), block), min(int(end), rows - block)
    if high - low < block:
        return []
    # Chebyshev nodes, which are denser towards the ends.
    grid = rows * (1 - np.cos(np.pi * np.arange(1, GRID) / GRID)) / 2 - block / 2
    starts = [low]
    for start in grid.astype(int).tolist():
        if starts[-1] + block <= start <= high - 2 * block:
            starts.append(start)
    if starts[-1] + block <= high - block:
        starts.append(high - block)
    return [((start + block / 2) / rows, float(x[start : start + block].mean())) for start in starts]


def _rounded(value: float, spread: float) -> float:
    """Round to six significant digits, or more if the spread of a column is small compared with its values."""
    digits = 6
    if value and 0 < spread < math.inf:
        digits += max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(spread)))
    return float(f"{value:.{digits - 1}e}")


def _scores(columns: np.ndarray, features: list[dict[str, Any]], at_least: int) -> np.ndarray:
    """Standardized average ranks of columns; a missing value ranks last, and what is published as constant gives 0."""
    ranks = np.stack([_ranks(x, item, at_least) for x, item in zip(columns.T, features, strict=True)], axis=1)
    ranks -= ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).mean(axis=0))
    return ranks / np.where(spread > 0, spread, 1.0)


def _ranks(x: np.ndarray, item: dict[str, Any], at_least: int) -> np.ndarray:
    """Average ranks of a column. A few rows beside the only value that ``item`` publishes rank as it does."""
    from scipy.stats import rankdata

    if len(item.get("levels", ())) == 1:
        return np.zeros(len(x))
    missing = np.isnan(x)
    ranks, there = rankdata(np.where(missing, np.inf, x)), np.sort(x[~missing])
    if [atom[:2] for atom in _atoms(there, _block(len(there), at_least))] == [(0.0, len(there))]:
        ranks[~missing] = ranks[~missing].mean()
    return ranks


def _rank_correlation(scores: np.ndarray) -> list[list[float]]:
    """Spearman rank correlations from standardized ranks."""
    full = np.round(scores.T @ scores / len(scores), 3).clip(-1, 1) + 0.0
    return [[*row[:i].tolist(), 1.0] for i, row in enumerate(full)]


def _autocorrelations(table: Table, scores: np.ndarray, steps: int, at_least: int) -> list[list[float]]:
    """Rank autocorrelations of each column from lag 1 to ``steps - 1``, from standardized ranks."""
    series = np.zeros(len(scores), dtype=int) if table.series is None else table.series
    found = []
    for lag in range(1, steps):
        both = series[lag:] == series[:-lag]
        if both.sum() < at_least:
            rule = f"only {both.sum():,} rows are {lag} steps after another, {at_least} are needed"
            raise FeaturesError(TABLE, rule, remedy="describe shorter windows, or lower --at-least")
        found.append((scores[lag:][both] * scores[:-lag][both]).mean(axis=0))
    return [_possible(lags) for lags in np.stack(found, axis=1).clip(-1, 1)]


def _possible(lags: np.ndarray) -> list[float]:
    """Autocorrelations to 4 digits: the nearest that a series can have, as the longest lags are those of few rows."""
    near = nearest(torch.tensor([1.0, *lags.tolist()], dtype=torch.float64))[1:]
    return (np.round(near.numpy(), 4) + 0.0).tolist()
