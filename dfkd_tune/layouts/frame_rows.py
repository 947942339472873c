"""A user's table as raw rows. A copy of this file lies in registered models: it needs NumPy, pandas and PyTorch alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

MOST_LISTED = 12
"""Largest number of names or levels in a message."""
NEAR = 2.0**-23
"""Largest difference between a number and its level, relative to the largest level: float32 rounding."""
APART = 1e-3
"""Largest difference between a number and its level, relative to the step between levels, and between whole numbers."""


class FrameError(ValueError):
    """A table that is not one of a student's inputs: place, rule with the value, remedy."""

    def __init__(self, place: str, rule: str, remedy: str) -> None:
        super().__init__(f"{place}: {rule}; {remedy}")
        self.place, self.rule, self.remedy = place, rule, remedy


class FrameReader:
    """Reads tables of raw values. Columns are matched by name, or by position if the features have no names.

    Args:
        names: features, in order.
        levels: feature -> declared levels: numbers, strings, None for a missing value.
        gapped: features whose numbers may be missing.
        named: whether the features have names of their own.
    """

    def __init__(
        self, names: Sequence[str], levels: Mapping[str, Sequence[Any]], gapped: Sequence[str], named: bool
    ) -> None:
        self.names, self.levels, self.named = list(names), {name: list(each) for name, each in levels.items()}, named
        self.optional = np.array([n in gapped or any(map(is_missing, self.levels.get(n, []))) for n in self.names])

    def tensor(self, frame: pd.DataFrame, dtype: torch.dtype) -> Tensor:
        """Raw values ``(N, D)`` of a table in the student's dtype: text levels as their codes, missing values as NaN.

        Raises:
            FrameError: a column is missing or holds an invalid value, or one that is infinite in this dtype.
        """
        x = torch.from_numpy(self.rows(frame)).to(dtype)
        self._refuse(x.isinf().numpy(), f"infinite in {str(dtype).removeprefix('torch.')}", "give finite numbers")
        return x

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """The same in float64, as an array.

        Raises:
            FrameError: a column is missing or holds an invalid value.
        """
        values, kinds = np.full((len(frame), len(self.names)), np.nan), list(frame.dtypes)
        places = dict(enumerate(self._places(list(frame.columns))))
        # Plain numeric columns in one step: column by column, one row of fifty features takes three times as long.
        plain = [i for i, place in places.items() if place is not None and self._is_plain(i, kinds[place])]
        values[:, plain] = frame.iloc[:, [places[i] for i in plain]].to_numpy(dtype=np.float64)
        for i in places.keys() - plain:
            if places[i] is not None:
                name = self.names[i]
                values[:, i] = column_of(name, frame.iloc[:, places[i]], self.levels.get(name, []))
        absent = np.isnan(values) & ~self.optional
        self._refuse(absent, "missing", "give numbers: the student knows no missing values there")
        return values

    def _is_plain(self, feature: int, kind: Any) -> bool:
        return isinstance(kind, np.dtype) and kind.kind in "biuf" and not self.levels.get(self.names[feature])

    def _places(self, labels: list[Any]) -> list[int | None]:
        """Position of each feature's column; None for an absent column that may be missing."""
        exact, loose, known = {}, {}, frozenset(self.names)
        for place, label in enumerate(labels):
            if label in known:
                exact.setdefault(label, []).append(place)
            else:  # match numeric labels and names with spaces around them
                loose.setdefault(str(label).strip(), []).append(place)
        found = [exact.get(name) or loose.get(name.strip(), []) for name in self.names]
        if not self.named and not any(found):
            return self._by_place(labels)
        for name, places in zip(self.names, found, strict=True):
            if len(places) > 1:
                raise FrameError(f"column {name!r}", "is there more than once", "send it once")
        gone = [n for n, places, free in zip(self.names, found, self.optional, strict=True) if not places and not free]
        if gone:
            raise FrameError(
                f"column{'s' * (len(gone) > 1)} {listed(gone)}",
                f"missing; got {listed(labels)}",
                f"send a table with {listed(self.names)}",
            )
        self._refuse_misspelled(labels, found)
        return [places[0] if places else None for places in found]

    def _refuse_misspelled(self, labels: list[Any], found: list[list[int]]) -> None:
        """Refuse a table that leaves out an optional column and has an unknown one: it may be the same, misspelled."""
        absent = [name for name, places in zip(self.names, found, strict=True) if not places]
        unknown = [label for place, label in enumerate(labels) if place not in {p for places in found for p in places}]
        if absent and unknown:
            raise FrameError(
                f"column{'s' * (len(absent) > 1)} {listed(absent)}",
                f"not in the table, which has the unknown {listed(unknown)}",
                "send it, with null where it is missing, or leave out the unknown columns",
            )

    def _by_place(self, labels: list[Any]) -> list[int | None]:
        width = len(self.names)
        if len(labels) != width:
            raise FrameError(
                "rows", f"have {len(labels)} columns, the model takes {width}", f"send {listed(self.names)}"
            )
        plain = [str(i) for i in range(width)]
        if all(isinstance(label, str) and is_number(label) for label in labels) and labels != plain:
            raise FrameError(
                "header", f"holds numbers, {listed(labels)}, as if it were a row", "send a line of names first"
            )
        return list(range(width))

    def _refuse(self, wrong: np.ndarray, what: str, remedy: str) -> None:
        """Raise an error if any value is marked in ``wrong`` ``(N, D)``; it names the columns."""
        if not wrong.any():
            return
        names = [name for name, any_wrong in zip(self.names, np.any(wrong, axis=0), strict=True) if any_wrong]
        count, row = int(wrong.sum()), int(wrong.any(1).argmax())
        place = f"column{'s' * (len(names) > 1)} {listed(names)}"
        raise FrameError(place, f"{count} value{'s' * (count > 1)} {what}, first in row {row}", remedy)


def as_frame(given: Any) -> pd.DataFrame:
    """Convert MLflow's input, or any table, to a data frame; columns of arrays and lists are numbered.

    Raises:
        FrameError: if it is not a table.
    """
    if hasattr(given, "to_pandas"):
        given = given.to_pandas()
    if hasattr(given, "toarray"):
        given = given.toarray()
    if isinstance(given, pd.DataFrame):
        return given
    try:
        if isinstance(given, dict):
            listing = {name: plain(value) for name, value in given.items()}
            return pd.DataFrame(
                {n: v if np.iterable(v) and not isinstance(v, str) else [v] for n, v in listing.items()}
            )
        if isinstance(given, list) and any(isinstance(row, dict) for row in given):
            return pd.DataFrame([{name: plain(value) for name, value in row.items()} for row in given])
        return pd.DataFrame(given if isinstance(given, list | pd.Series) else np.asarray(given))
    except (AttributeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FrameError("input", f"is no table: {reason}", "send rows of equal length, or a data frame") from None


def plain(value: Any) -> Any:
    """The value inside a zero-dimensional array, which MLflow makes of scalars; other values are returned unchanged."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def column_of(name: str, column: pd.Series, levels: list[Any]) -> np.ndarray:
    """Raw values ``(N,)`` of one column, float64, with NaN for missing values.

    Args:
        name: name of the feature.
        column: the user's column.
        levels: declared levels: numbers, strings, None for a missing value; empty if none are declared.

    Raises:
        FrameError: if a value is not a number, or not a level.
    """
    known = [level for level in levels if not is_missing(level)]
    if any(isinstance(level, str) for level in known):
        return codes(name, column, levels)
    values = numbers(name, column)
    return snapped(name, values, np.sort(np.array(known, dtype=np.float64))) if known else values


def numbers(name: str, column: pd.Series) -> np.ndarray:
    """A column of any numeric type as float64 ``(N,)``; ``bool`` becomes 0 and 1."""
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.fromiter((number(name, value) for value in column), np.float64, len(column))


def number(name: str, value: Any) -> float:
    """One value as a number; NaN if it is missing."""
    value = plain(value)
    if isinstance(value, Real | Decimal | np.bool_):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    if is_missing(value):
        return float("nan")
    what = "text" if isinstance(value, str) else f"values of type {type(value).__name__}"
    raise FrameError(f"column {name!r}", f"holds {what}, {str(value)[:40]!r}", "give numbers")


def snapped(name: str, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values ``(N,)`` replaced by the declared levels (sorted) that they equal up to float32 rounding."""
    right = np.searchsorted(known, values).clip(1, len(known) - 1) if len(known) > 1 else np.zeros(len(values), int)
    left = (right - 1).clip(0)
    nearest = np.where(np.abs(values - known[left]) <= np.abs(values - known[right]), known[left], known[right])
    # Where levels are large, float32 rounding alone would take another whole number, or a number between two levels.
    step = min([*np.diff(known).tolist(), 1.0 if (known == np.round(known)).all() else np.inf])
    far = np.abs(values - nearest) > min(NEAR * np.abs(known).max(), APART * step)
    wrong = far & (values != nearest.astype(np.float32))
    if wrong.any():
        raise unknown(name, values[wrong][0].item(), known.tolist())
    return np.where(np.isnan(values), np.nan, nearest)


def codes(name: str, column: pd.Series, levels: list[Any]) -> np.ndarray:
    """Index ``(N,)`` in ``levels`` of each value; NaN if it is missing."""
    try:
        places, values = pd.factorize(column.astype(object).map(plain))
    except TypeError:
        raise FrameError(f"column {name!r}", "holds values that are no levels", f"known: {listed(levels)}") from None
    return np.array([*(float(place_of(name, value, levels)) for value in values), np.nan])[places]


def place_of(name: str, value: Any, levels: list[Any]) -> int:
    """Index of a value in ``levels``. A number matches a text level that a CSV reader would have read as this number."""
    text = isinstance(value, str)
    same = [i for i, level in enumerate(levels) if text and level == value]
    if not same and isinstance(value, bool | np.bool_):
        same = [i for i, level in enumerate(levels) if str(level).lower() == str(value).lower()]
    if not same:
        others = [(i, level) for i, level in enumerate(levels) if not (text and isinstance(level, str))]
        same = [i for i, level in others if is_number(level) and is_number(value) and float(level) == float(value)]
    if len(same) != 1:
        raise unknown(name, value, levels)
    return same[0]


def is_missing(value: Any) -> bool:
    """Whether a value is missing: ``None``, NaN, ``pd.NA`` or ``pd.NaT``."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def is_number(value: Any) -> bool:
    """Whether a value is a number or the text of one."""
    try:
        return not np.isnan(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def listed(items: Any) -> str:
    """Items separated by commas; only the first if there are many."""
    items = list(items)
    more = f" and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(repr(item)[:60] for item in items[:MOST_LISTED]) + more


def unknown(name: str, value: Any, levels: list[Any]) -> FrameError:
    """The error for a value that is not a level."""
    return FrameError(f"column {name!r}", f"holds {str(value)[:40]!r}, which is no level", f"known: {listed(levels)}")
