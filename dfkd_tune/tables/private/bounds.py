"""What is public of a column before its table is read: the range or the levels, and the cells in which its rows are counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.private.tree import BRANCHES
from dfkd_tune.utils.quoting import quoted

DEEPEST = 6
"""Largest depth of a tree: a range has at most 4^6 = 4,096 leaves."""
PUBLIC = ("name", "unit", "range", "integer", "levels", "nominal", "missing")
"""Keys of a feature that bounds may have."""


@dataclass(frozen=True)
class Bounds:
    """The public declaration of a column.

    Every row is in one cell: a leaf of the range or a level, or *beside* them, which is the last cell. A number outside of its range is
    in the leaf at that end. A missing value, and an undeclared level, are beside.

    Args:
        item: its entry in the bounds.
        levels: the levels in the order of their ranks; None for a range.
        low, high: ends of the range.
        leaves: number of cells that a value can be in.
        depth: layers of the tree below its root; 0 for levels.
    """

    item: Mapping[str, Any]
    levels: tuple[float | str | None, ...] | None
    low: float
    high: float
    leaves: int
    depth: int

    @property
    def name(self) -> str:
        return self.item["name"]

    @property
    def gaps(self) -> bool:
        """Whether the value of a column with a range may be missing."""
        return "missing" in self.item

    @property
    def edges(self) -> np.ndarray:
        """Ends ``(leaves + 1,)`` of the leaves of a range. A leaf of whole numbers ends at halves."""
        return np.linspace(self.low, self.high, self.leaves + 1)

    def codes(self, column: np.ndarray, words: Sequence[str] | None) -> np.ndarray:
        """The cell ``(N,)`` of every row, from 0; ``leaves`` is beside.

        Args:
            column: ``(N,)`` numbers, or indices into ``words``; NaN is a missing value.
            words: the words of the column; None for numbers.

        Raises:
            FeaturesError: words are declared and numbers found, or the other way around.
        """
        worded = any(isinstance(level, str) for level in self.levels or ())
        if worded != (words is not None):
            found, said = ("numbers", "words") if worded else ("words", "numbers")
            rule = f"holds {found}, and its bounds are {said}"
            raise FeaturesError(self.name, rule, remedy="declare the column as it is written, in --bounds")
        if self.levels is None:
            there = np.clip(np.nan_to_num(column, nan=self.low), self.low, self.high)
            leaf = np.floor((there - self.low) / (self.high - self.low) * self.leaves).clip(0, self.leaves - 1)
            return np.where(np.isnan(column), self.leaves, leaf).astype(np.int64)
        codes = np.full(len(column), self.leaves)
        for code, level in enumerate(self.levels):
            if level is None:
                codes[np.isnan(column)] = code
            elif words is not None:
                codes[column == (words.index(str(level)) if level in words else -1)] = code
            else:
                codes[column == level] = code
        return codes


def bounds_of(source: Path | Any, names: Sequence[str]) -> list[Bounds]:
    """The bounds of columns, in their order.

    Args:
        source: a features file, or its content.
        names: names of the columns that are described.

    Raises:
        FeaturesError: the file is invalid, bounds are of other columns, or a column has neither a range nor levels.
    """
    from dfkd_tune.inputs.features_file import read_features, tree_of

    place = source if isinstance(source, Path) else "--bounds"
    told = read_features(source) if isinstance(source, Path) else parse_features(tree_of(source), place)
    tree = told.told or {}
    if other := [key for key in tree if key != "features"]:
        raise FeaturesError(f"{place}: {other[0]}", "bounds are a list of features", remedy="leave it out")
    items = [item if isinstance(item, Mapping) else {"name": item} for item in tree["features"]]
    known = {item["name"]: (item, feature) for item, feature in zip(items, told.features, strict=True)}
    if lacking := [name for name in names if name not in known]:
        remedy = f"declare it, or leave the column out with --target {quoted(lacking[0])}"
        raise FeaturesError(f"{place}: {lacking[0]}", "a column of the table has no bounds", remedy=remedy)
    if unused := [name for name in known if name not in names]:
        raise FeaturesError(f"{place}: {unused[0]}", "the table has no such column", remedy="leave it out")
    return [_bounds(*known[name], f"{place}: {name}") for name in names]


def _bounds(item: Mapping[str, Any], feature: Feature, place: str) -> Bounds:
    if private := [key for key in item if key not in PUBLIC]:
        rule = f"{private[0]} is no bound: it is what the table tells"
        raise FeaturesError(place, rule, remedy=f"leave it out; bounds have {', '.join(PUBLIC)}")
    if feature.levels is not None:
        ordered = [level for level in feature.levels if level is not None]
        ordered = ordered if feature.labels else sorted(ordered, key=lambda level: float(level))
        levels = (*ordered, *([None] if None in feature.levels else []))
        return Bounds(item, levels, 0.0, 0.0, len(levels), 0)
    if feature.range is None:
        rule = "has neither a range nor levels, and they may not be learned from the table"
        raise FeaturesError(place, rule, remedy="declare physical limits: range: [LOW, HIGH], or levels: [...]")
    low, high = feature.range
    leaves = BRANCHES**DEEPEST
    if feature.integer:
        low, high = math.ceil(low) - 0.5, math.floor(high) + 0.5
        leaves = round(high - low) if high - low <= leaves else leaves
    depth = max(1, math.ceil(round(math.log(leaves, BRANCHES), 9)))
    return Bounds(item, None, low, high, leaves, depth)
