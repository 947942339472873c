"""Series in a table: which rows follow each other, by a column of groups and a column of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.arrow import functions
from dfkd_tune.tables.cells import NUMBER

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

GAP = 1.5
"""Smallest distance in time that is a gap, in the usual distance of two rows."""


@dataclass(frozen=True)
class Windows:
    """How a table is cut into windows.

    Args:
        steps: number of rows in a window.
        group: name of the column whose values separate series; None for one series.
        time: name of the column that orders the rows of a series; None if the rows are in order.
    """

    steps: int
    group: str | None = None
    time: str | None = None

    @property
    def keys(self) -> list[str]:
        """The columns that order rows and are not described."""
        return [name for name in (self.group, self.time) if name is not None]


@dataclass(frozen=True)
class Cut:
    """The rows of a table in series.

    Args:
        rows: ``(N,)`` indices of the rows that are in a series, one series after the other, each in its order.
        series: ``(N,)`` number of the series of each.
        notes: what was found, in words.
    """

    rows: np.ndarray
    series: np.ndarray
    notes: tuple[str, ...]


def cut_into(windows: Windows, places: np.ndarray, groups: np.ndarray | None, times: np.ndarray | None) -> Cut:
    """Cut a table into series without gaps; those shorter than a window are left out.

    Args:
        windows: the windows.
        places: ``(N,)`` numbers of the rows in the file: a row that was dropped leaves a gap.
        groups: ``(N,)`` numbers of the groups, or None.
        times: ``(N,)`` times, or None if the rows are in order.

    Raises:
        FeaturesError: two rows of a group have the same time, or no series is as long as a window.
    """
    import numpy as np

    when, who = places if times is None else times, np.zeros(len(places), dtype=int) if groups is None else groups
    rows = np.lexsort((when, who))
    when, who = when[rows], who[rows]
    apart, same = np.diff(when), np.diff(who) == 0
    if times is not None and bool((apart[same] == 0).any()):
        where = f"of one {windows.group} " if windows.group else ""
        rule = f"{int((apart[same] == 0).sum()):,} of {len(rows):,} rows {where}have the time of the row before"
        raise FeaturesError(
            str(windows.time), rule, remedy="tell series apart with --group, or keep one row for each time"
        )
    usual = float(np.median(apart[same])) if bool(same.any()) else 1.0
    gaps = same & (apart > GAP * usual)
    series = np.concatenate([[0], (~same | gaps).cumsum()])
    length = np.bincount(series)
    long = length[series] >= windows.steps
    if not bool(long.any()):
        rule = f"no {windows.steps} rows follow each other: the longest of {len(length):,} series has {int(length.max()):,}"
        raise FeaturesError("--window", rule, remedy="describe shorter windows, or more rows")
    notes = []
    if gaps.any():
        notes.append(f"gaps in time, which no window crosses: {int(gaps.sum()):,}")
    if short := int((length < windows.steps).sum()):
        notes.append(
            f"left out: {short:,} of {len(length):,} series with fewer than {windows.steps} rows, {int((~long).sum()):,} rows in all"
        )
    return Cut(rows[long], series[long], tuple(notes))


def groups_of(column: pa.ChunkedArray, place: str) -> np.ndarray:
    """Numbers ``(N,)`` of the groups in a column of any type.

    Raises:
        FeaturesError: a value is missing.
    """
    import numpy as np
    import pyarrow as pa

    _whole(column, place)
    pc = functions()
    plain = pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return np.asarray(pc.index_in(plain, value_set=pc.unique(plain)), dtype=int)


def times_of(column: pa.ChunkedArray, place: str) -> np.ndarray:
    """Times ``(N,)``, float64, of a column of numbers, dates or times, or of text that holds either.

    Raises:
        FeaturesError: a value is missing, or the column holds something else.
    """
    import numpy as np
    import pyarrow as pa

    _whole(column, place)
    pc, kind = functions(), column.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            text = pc.cast(column, pa.large_string())
            numbers = pc.all(pc.match_substring_regex(text, NUMBER["."])).as_py()
            column = pc.cast(text, pa.float64()) if numbers else _timestamps(text)
        elif pa.types.is_date(kind):
            column = pc.cast(column, pa.timestamp("s"))
        if pa.types.is_temporal(column.type):
            column = pc.cast(column, pa.int32() if pa.types.is_time32(column.type) else pa.int64())
        return np.asarray(pc.cast(column, pa.float64(), safe=False), dtype=np.float64)
    except pa.ArrowException:
        raise FeaturesError(
            place,
            "does not hold times that are known as such",
            remedy="write them as numbers or as 2020-01-31 23:59:59, or sort the table and leave --time out",
        ) from None


def _timestamps(text: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return functions().cast(text, pa.timestamp("us"))
    except pa.ArrowException:
        return functions().cast(text, pa.timestamp("us", tz="UTC"))


def _whole(column: pa.ChunkedArray, place: str) -> None:
    if column.null_count:
        rule = f"{column.null_count:,} of {len(column):,} values are missing, and it tells which rows follow each other"
        raise FeaturesError(place, rule, remedy="leave those rows out of the table")
