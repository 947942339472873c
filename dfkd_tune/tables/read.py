"""Read a table of numbers and words from a text, Parquet or Feather file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.cells import Column, column_of, decimal_of
from dfkd_tune.tables.columnar import column_from, index_of, read_arrow
from dfkd_tune.tables.delimited import Layout, read_text
from dfkd_tune.tables.series import Cut, Windows, cut_into, groups_of, times_of
from dfkd_tune.utils.quoting import quoted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".dat"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".feather", ".arrow"), "feather"),
}
"""Suffix of a file -> format."""
FORMATS = ("csv", "parquet", "feather")
PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
POLICIES = ("refuse", "drop", "level")
UNNAMED = "__index_level_"
"""Prefix of the names that pandas gives to unnamed index levels."""
MOST_NAMED = 8
"""Largest number of columns that a message names."""


@dataclass(frozen=True)
class Reading:
    """Options for reading a table.

    Args:
        kind: one of ``FORMATS``; None selects it by the file name.
        layout: layout of a text table.
        missing: one of ``POLICIES``, the treatment of missing values.
        at_least: smallest number of rows behind anything that a message shows of the table.
        windows: how the table is cut into windows; None if its rows are described.
        only: names of the columns that are read, as far as they are there; whatever the others hold. None for all.
    """

    kind: str | None = None
    layout: Layout = field(default_factory=Layout)
    missing: str = "refuse"
    at_least: int = 10
    windows: Windows | None = None
    only: Collection[str] | None = None


FOUND = Reading()


@dataclass(frozen=True)
class Read:
    """What was read of a table.

    Args:
        names: names of the columns that are described.
        columns: these columns.
        notes: detected properties, in words.
        keys: name of a column that orders rows -> its cells.
    """

    names: list[str]
    columns: list[Column]
    notes: list[str]
    keys: Mapping[str, pa.ChunkedArray]


@dataclass(frozen=True)
class Table:
    """Columns of numbers and words.

    Args:
        names: distinct names of the columns.
        columns: ``(N, D)`` float64; NaN is a missing value, and a column of words holds indices into its words.
        words: name of a column of words -> its words, sorted.
        notes: detected properties, in words.
        series: ``(N,)`` number of the series of each row, whose rows are in order; None if rows do not follow each other.
        rows: ``(N,)`` number of each row in the file, counted from 0; None if all rows of the file are there.
    """

    names: tuple[str, ...]
    columns: np.ndarray
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    series: np.ndarray | None = None
    rows: np.ndarray | None = None


def read_table(path: Path, reading: Reading = FOUND, without: Sequence[str] = ()) -> Table:
    """Read a table. No error shows a value that fewer than ``at_least`` rows share.

    Args:
        path: path of the file.
        reading: options for reading.
        without: names of columns to leave out.

    Raises:
        FeaturesError: the table cannot be read or is ambiguous, names are missing or repeated, or a column holds
            anything but finite numbers and words.
    """
    kind = reading.kind or _kind(path)
    if path.is_dir():
        raise FeaturesError(path, "is a folder", remedy="give one file; of a table in parts, one part")
    if not path.is_file():
        raise FeaturesError(path, "no such file", remedy="give a table that is there")
    from dfkd_tune.utils import hardware

    room = hardware.memory_of("cpu")
    try:
        read = _text if kind == "csv" else _arrow
        found = read(path, kind, reading, room, without)
    except OSError as error:
        raise FeaturesError(path, f"cannot be read: {error.strerror or error}", remedy="make it readable") from None
    if not found.columns and reading.only is not None:
        rule = f"has none of the columns {quoted(sorted(reading.only))}"
        raise FeaturesError(path, rule, remedy="name its columns as the features")
    if not found.columns:
        rule = f"no column is left of {len(without)}" if without else "holds no columns"
        raise FeaturesError(path, rule, remedy="leave fewer columns out" if without else "give another table")
    if not len(found.columns[0].values):
        rule = f"holds the names of {len(found.columns)} columns and no rows"
        raise FeaturesError(path, rule, remedy="give a table with rows below its names")
    return _whole(path, found, reading)


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    kind = SUFFIXES.get(name.suffix.lower())
    if kind is None:
        known = f"{', '.join(SUFFIXES)}, of text also packed as {', '.join(PACKED)}"
        rule = f"its suffix {name.suffix!r} is of no known table; known: {known}"
        raise FeaturesError(path, rule, remedy="if it is a text table, give --format csv")
    return kind


def _text(path: Path, kind: str, reading: Reading, room: int, without: Sequence[str]) -> Read:
    text = read_text(path, reading.layout, room)
    kept, keys = _kept(text.names, path, without, reading)
    decimal = reading.layout.decimal or decimal_of(text.cells, text.separator)
    columns = [column_of(text.cells[i], decimal, reading.at_least) for i in kept]
    found = text.found + ([] if decimal == "." else [f"--decimal {decimal}"])
    notes = [f"read with {' '.join(found)}"] if found else []
    return Read([text.names[i] for i in kept], columns, notes, {name: text.cells[i].text for name, i in keys.items()})


def _arrow(path: Path, kind: str, reading: Reading, room: int, without: Sequence[str]) -> Read:
    table = read_arrow(path, kind, room)
    names = [name.strip() for name in table.column_names]
    kept, keys = _kept(names, path, without, reading)
    index = [name for name in index_of(table) if name in (names[i] for i in kept)]
    for name in index:
        if name.startswith(UNNAMED):
            raise FeaturesError(
                path,
                "has an index without a name",
                remedy=f"leave it out with --target {quote(name)}, or name it as a column",
            )
    columns = [column_from(table.column(i), f"{path}: {names[i]}", reading.at_least) for i in kept]
    notes = [f"the index {name} is a column; --target {quote(name)} leaves it out" for name in index]
    return Read([names[i] for i in kept], columns, notes, {name: table.column(i) for name, i in keys.items()})


def _kept(
    names: Sequence[str], path: Path, without: Sequence[str], reading: Reading
) -> tuple[list[int], dict[str, int]]:
    """Indices of the columns to describe, and of those that order rows, by name."""
    ordering = [] if reading.windows is None else reading.windows.keys
    for i, name in enumerate(names):
        if reading.only is not None and name not in reading.only:
            continue
        if not name:
            raise FeaturesError(f"{path}: column {i + 1}", "has no name", remedy="write the table without its index")
        if name in names[:i]:
            raise FeaturesError(f"{path}: {name}", "two columns have this name", remedy="rename one")
    for name in (*without, *ordering):
        if name not in names:
            raise FeaturesError(f"{path}: {name}", "no such column", remedy=f"columns: {', '.join(names)}")
    wanted = names if reading.only is None else reading.only
    kept = [i for i, name in enumerate(names) if name in wanted and name not in (*without, *ordering)]
    return kept, {name: names.index(name) for name in ordering}


def _whole(path: Path, found: Read, reading: Reading) -> Table:
    """Make a table; refuses infinite values, and treats missing values and windows as ``reading`` says."""
    import numpy as np

    names, columns, notes, missing = found.names, found.columns, found.notes, reading.missing
    values = np.stack([column.values for column in columns], axis=1)
    rows = len(values)
    for name, column in zip(names, values.T, strict=True):
        if infinite := int(np.isinf(column).sum()):
            raise FeaturesError(f"{path}: {name}", f"{infinite:,} of {rows:,} values are infinite", remedy="drop those rows")  # fmt: skip
    gaps = np.isnan(values)
    counts = {name: int(count) for name, count in zip(names, gaps.sum(axis=0), strict=True) if count}
    if empty := [name for name, count in counts.items() if count == rows]:
        raise FeaturesError(
            f"{path}: {empty[0]}", "holds no value", remedy=f"leave it out with --target {quote(empty[0])}"
        )
    if counts and missing == "refuse":
        told = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:MOST_NAMED])
        more = f" and {len(counts) - MOST_NAMED} more columns" if len(counts) > MOST_NAMED else ""
        raise FeaturesError(
            path,
            f"of {rows:,} rows values are missing: {told}{more}",
            remedy="--missing drop leaves those rows out, --missing level describes how often a value is missing; or fill them as for the teacher",
        )
    kept = np.arange(rows)
    if counts and missing == "drop":
        whole = ~gaps.any(axis=1)
        if not whole.any():
            rule = f"a value is missing in each of its {rows:,} rows"
            raise FeaturesError(path, rule, remedy="leave columns with many missing values out with --target")
        kept = kept[whole]
        notes = [*notes, f"{rows - len(kept):,} of {rows:,} rows left out, in which a value is missing"]
    series = None
    if reading.windows is not None and len(kept):
        cut = _series(path, found, reading.windows, kept)
        kept, series, notes = cut.rows, cut.series, [*notes, *cut.notes]
    values = values[kept]
    words = {name: column.words for name, column in zip(names, columns, strict=True) if column.words is not None}
    return Table(tuple(names), values, words, tuple(notes), series, kept)


def _series(path: Path, found: Read, windows: Windows, kept: np.ndarray) -> Cut:
    """The kept rows in series."""
    groups = None if windows.group is None else groups_of(found.keys[windows.group], f"{path}: {windows.group}")[kept]
    times = None if windows.time is None else times_of(found.keys[windows.time], f"{path}: {windows.time}")[kept]
    try:
        cut = cut_into(windows, kept, groups, times)
    except FeaturesError as error:
        raise FeaturesError(f"{path}: {error.place}", error.rule, remedy=error.remedy) from None
    return Cut(kept[cut.rows], cut.series, cut.notes)
