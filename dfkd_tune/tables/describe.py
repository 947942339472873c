"""What may be told of a table: a features file, made where the data live, that holds no row of them.

Every number told is of at least ``at_least`` rows (K):

- a *quantile* is the mean of K or more neighboring order statistics. The blocks of rows are disjoint, as the difference of
  two overlapping means would be a row's, and the K least and K greatest rows are in none: no extreme is told;
- a value that fills 2 % of the rows or more is told as it is, with where it begins and ends; fewer than K rows beside it
  count as its own;
- a column of few distinct values becomes *levels*, told as they are, with probabilities; those seen fewer than K times are
  withheld. Words are told as levels or not at all, and a missing value may be one more level, ``null``;
- *moments* and *rank correlations* are of all rows.

This is aggregation, not differential privacy: who knows all rows but one may learn about that one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.locations.files import write_output
from dfkd_tune.tables.read import FOUND, Reading, Table, read_table
from dfkd_tune.utils import yaml_io

TIERS = ("moments", "quantiles", "correlation")
LEAST_MULTIPLE = 10
"""Times ``at_least``: fewer rows are not described."""
LEVELS = 20
"""Distinct values of a column that becomes levels, at most."""
COVERED = 0.95
"""Share of the rows that the told levels must have; otherwise the column is described like a continuous one."""
ATOM = 0.02
"""Share of the rows from which on a value is told as such: about a step of the grid, which blurs smaller ones."""
GRID = 48
FINEST = 2_000
"""Blocks that a table is cut into at most; those of a large one hold more than ``at_least`` rows."""
TABLE = "the table"
JUMP = 1e-5
"""Probability between the values on both sides of a jump."""


@dataclass
class Description:
    """What is told of a table.

    Args:
        rows: described.
        features: entries of a features file.
        rank_correlation: lower triangle, or None.
        withheld: how many levels of a column were not told.
    """

    rows: int
    features: list[dict[str, Any]] = field(default_factory=list)
    rank_correlation: list[list[float]] | None = None
    withheld: dict[str, int] = field(default_factory=dict)

    def tree(self) -> dict[str, Any]:
        """As a features file."""
        ranks = {} if self.rank_correlation is None else {"rank_correlation": self.rank_correlation}
        return {"features": self.features} | ranks

    def lines(self) -> list[str]:
        """What is told, in words: a line a kind of knowledge."""
        told = {kind: [f for f in self.features if kind in f] for kind in ("levels", "quantiles", "mean")}
        constant = [f for f in told["levels"] if len(f["levels"]) == 1]
        lines = []
        if told["mean"]:
            lines.append(f"{len(told['mean'])} with mean and standard deviation")
        if told["quantiles"]:
            counts = [len(f["quantiles"]) for f in told["quantiles"]]
            lines.append(f"{len(counts)} with quantiles, {min(counts)} to {max(counts)} each")
        if switched := len(told["levels"]) - len(constant):
            count = sum(len(f["levels"]) for f in told["levels"] if len(f["levels"]) > 1)
            lines.append(f"{switched} with levels and their probabilities, {count} levels in all")
        if constant:
            lines.append(f"{len(constant)} constant")
        if whole := sum("integer" in f for f in self.features):
            lines.append(f"{whole} of them marked as whole numbers")
        if self.rank_correlation is not None:
            lines.append(
                f"rank correlations of {len(self.features) * (len(self.features) - 1) // 2:,} pairs, to 3 digits"
            )
        if self.withheld:
            lines.append(f"withheld: {sum(self.withheld.values())} rare levels, of {', '.join(self.withheld)}")
        return lines


def describe(table: Table, tier: str = "quantiles", at_least: int = 10) -> Description:
    """What may be told of a table.

    Args:
        table: of features, in the teacher's order; a missing value is a level.
        tier: of ``TIERS``; levels are told in each.
        at_least: rows that every told number is of.

    Raises:
        FeaturesError: when there are too few rows, or a column of words or with missing values has no levels.
    """
    rows = len(table.columns)
    if rows < LEAST_MULTIPLE * at_least:
        rule = f"{rows:,} rows are too few, {LEAST_MULTIPLE * at_least:,} are needed when every number is of {at_least} rows"
        raise FeaturesError(TABLE, rule, remedy="describe more rows, or lower --at-least")
    told = Description(rows)
    for name, column in zip(table.names, table.columns.T, strict=True):
        x = np.sort(column[~np.isnan(column)]) + 0.0  # -0 becomes 0
        item: dict[str, Any] = {"name": name}
        levels, withheld = _levels(x, rows - len(x), at_least, table.words.get(name))
        if levels:
            item |= levels
            told.withheld |= {name: withheld} if withheld else {}
        elif name in table.words or len(x) < rows:
            raise _no_levels(name, table.words.get(name), x, rows, at_least)
        elif tier == "moments":
            spread = float(x.std())
            item |= {"mean": _rounded(float(x.mean()), spread), "std": _rounded(spread, spread)}
        else:
            item["quantiles"] = _quantiles(x, at_least)
        told.features.append(item | ({"integer": True} if not levels and bool((x == np.rint(x)).all()) else {}))
    if tier == "correlation":
        told.rank_correlation = _rank_correlation(table.columns)
    return told


def describe_file(
    data: Path,
    out: Path,
    tier: str = "quantiles",
    targets: tuple[str, ...] = (),
    reading: Reading = FOUND,
) -> list[str]:
    """Describe a table in a features file, and return what to say about it, line by line.

    Args:
        data, reading: of ``read_table``.
        out: the features file.
        tier: of ``describe``.
        targets: columns to leave out.

    Raises:
        FeaturesError: when the table cannot be read or described; nothing is written then.
        ExportError: when ``out`` cannot be written.
    """
    if out.exists() and out.resolve() == data.resolve():
        raise FeaturesError(out, "is the table itself", remedy="write the features file elsewhere")
    table, at_least = read_table(data, reading, targets), reading.at_least
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what no number can hold is refused below
            told = describe(table, tier, at_least)
    except FeaturesError as error:
        place = data if error.place == TABLE else f"{data}: {error.place}"
        raise FeaturesError(place, error.rule, remedy=error.remedy) from None
    inputs = parse_features(told.tree(), data)
    head = f"# {told.rows} rows described ({tier}), every number of {at_least} rows or more\n"
    write_output(out, (head + yaml_io.dump(told.tree(), compact=True)).encode())
    return [
        f"{data}: {told.rows:,} rows, {len(inputs)} features" + (f", without {', '.join(targets)}" if targets else ""),
        *(f"  {line}" for line in [*table.notes, *told.lines()]),
        f"tier {inputs.tier}, every number of {at_least} rows or more; wrote {out}; no row leaves this machine",
    ]


def _levels(x: np.ndarray, missing: int, at_least: int, words: tuple[str, ...] | None) -> tuple[dict[str, Any], int]:
    """Levels of a sorted column and how many are withheld; nothing where it is no column of levels."""
    values, counts = np.unique(x, return_counts=True)
    rows = len(x) + missing
    told: list[Any] = values.tolist() if words is None else [words[int(value)] for value in values]
    if missing:
        told, counts = [*told, None], np.append(counts, missing)
    often = counts >= at_least
    if len(values) > LEVELS or counts[often].sum() < COVERED * rows:
        return {}, 0
    told, shares = [told[i] for i in np.flatnonzero(often)], np.round(counts[often] / counts[often].sum(), 6)
    levels = {"levels": told} | ({"probabilities": shares.tolist()} if len(told) > 1 else {})
    return levels, int((~often).sum())


def _no_levels(name: str, words: tuple[str, ...] | None, x: np.ndarray, rows: int, at_least: int) -> FeaturesError:
    """Why a column that can only have levels has none."""
    counts = np.unique(x, return_counts=True)[1]
    few = f"{len(counts):,} different values" if len(counts) > LEVELS else "rare values"
    rule = (
        f"{few}, and levels are {LEVELS} at most that {at_least} rows share, together {100 * COVERED:g} % of the rows"
    )
    if words is not None:
        remedy = "write the words as the numbers that the teacher takes, or leave the column out with --target"
        return FeaturesError(name, f"holds words: {rule}", remedy=remedy)
    return FeaturesError(
        name,
        f"{rows - len(x):,} of {rows:,} values are missing beside numbers that are no levels ({rule})",
        remedy="--missing drop leaves those rows out; or fill them as for the teacher, or leave the column out with --target",
    )


def _quantiles(x: np.ndarray, at_least: int) -> dict[float, float]:
    """Quantiles of a sorted column, by probability: both ends of every atom, and blocks of rows in the gaps between."""
    rows = len(x)
    block = max(at_least, rows // FINEST)
    # How far the told rows spread decides how many digits are; the untold extremes have no say.
    spread = float(x[rows - block - 1] - x[block])
    points: list[tuple[float, float]] = []
    done, least = 0.0, -math.inf
    for begin, end, value in [*_atoms(x, block), (rows, rows, math.inf)]:
        means = [(p, _rounded(mean, spread)) for p, mean in _blocks(x, done, begin, block)]
        points += [(p, min(max(mean, least), value)) for p, mean in means]
        if begin < end:
            points.append((max(begin, block) / rows + JUMP, value))
            points.append((min(end, rows - block) / rows - JUMP, value))
        done, least = end, value
    return {round(p, 6): value for p, value in points}


def _atoms(x: np.ndarray, block: int) -> list[tuple[float, float, float]]:
    """Values that fill much of a sorted column: the rows from which and up to which, and the value."""
    values, first, counts = np.unique(x, return_index=True, return_counts=True)
    often = counts >= max(2 * block, ATOM * len(x))
    values, begin, end = values[often], first[often].astype(float), (first + counts)[often].astype(float)
    if not len(values):
        return []
    # Fewer rows than a block are not told: they count as the atom that they lie beside, or half of them as each of two.
    begin[0] = begin[0] if begin[0] >= block else 0.0
    end[-1] = end[-1] if len(x) - end[-1] >= block else len(x)
    narrow = begin[1:] - end[:-1] < block
    middle = (begin[1:] + end[:-1]) / 2
    begin[1:], end[:-1] = np.where(narrow, middle, begin[1:]), np.where(narrow, middle, end[:-1])
    return list(zip(begin.tolist(), end.tolist(), values.tolist(), strict=True))


def _blocks(x: np.ndarray, begin: float, end: float, block: int) -> list[tuple[float, float]]:
    """Probability and mean of disjoint blocks of rows between two atoms: at both ends, and on the grid between them."""
    rows = len(x)
    low, high = max(int(begin), block), min(int(end), rows - block)
    if high - low < block:
        return []
    # The nodes of Chebyshev, denser towards the ends.
    grid = rows * (1 - np.cos(np.pi * np.arange(1, GRID) / GRID)) / 2 - block / 2
    starts = [low]
    for start in grid.astype(int).tolist():
        if starts[-1] + block <= start <= high - 2 * block:
            starts.append(start)
    if starts[-1] + block <= high - block:
        starts.append(high - block)
    return [((start + block / 2) / rows, float(x[start : start + block].mean())) for start in starts]


def _rounded(value: float, spread: float) -> float:
    """Six significant digits, and more where the column spreads little beside its values."""
    digits = 6
    if value and 0 < spread < math.inf:
        digits += max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(spread)))
    return float(f"{value:.{digits - 1}e}")


def _rank_correlation(columns: np.ndarray) -> list[list[float]]:
    """Spearman's, of average ranks, a missing value being the last; 0 with a column that never changes."""
    from scipy.stats import rankdata

    ranks = rankdata(np.where(np.isnan(columns), np.inf, columns), axis=0)
    ranks -= ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).mean(axis=0))
    ranks /= np.where(spread > 0, spread, 1.0)
    full = np.round(ranks.T @ ranks / len(ranks), 3).clip(-1, 1) + 0.0
    return [[*row[:i].tolist(), 1.0] for i, row in enumerate(full)]
