"""A table of numbers from a ``.csv`` or ``.parquet`` file, read where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import FeaturesError

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("csv", "parquet")


@dataclass(frozen=True)
class Table:
    """Columns of finite numbers.

    Args:
        names: of the columns, all different.
        columns: ``(N, D)`` float64.
    """

    names: tuple[str, ...]
    columns: np.ndarray


def read_table(path: Path, kind: str | None = None, without: Sequence[str] = ()) -> Table:
    """Read a table. No error tells a value of it.

    Args:
        path: of the file.
        kind: of ``FORMATS``; None goes by the file's name.
        without: columns to leave out.

    Raises:
        FeaturesError: when it cannot be read, its columns have no proper names, or one holds anything but finite numbers.
    """
    import numpy as np

    kind = kind or path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise FeaturesError(
            path, f"not known as a table by its name; known: {', '.join(FORMATS)}", remedy="give --format"
        )
    if not path.exists():
        raise FeaturesError(path, "no such file", remedy="give a table that is there")
    try:
        frame = _csv(path) if kind == "csv" else _parquet(path)
    except FeaturesError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise FeaturesError(
            path, f"cannot be read as {kind}: {reason}", remedy="export it again, or give --format"
        ) from None
    for name in without:
        if name not in frame.columns:
            raise FeaturesError(f"{path}: {name}", "no such column", remedy=f"columns: {', '.join(frame.columns)}")
    frame = frame.drop(columns=list(without))
    if frame.empty:
        held = f"{len(frame)} rows of {len(frame.columns)} columns"
        raise FeaturesError(path, f"holds no table: {held}", remedy="leave fewer columns out, or give another")
    columns = [_numbers(frame[name], f"{path}: {name}") for name in frame.columns]
    return Table(tuple(frame.columns), np.stack(columns, axis=1))


def _csv(path: Path):
    import pandas

    names = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
    _check_names(names, path)
    # Rows would be taken for names, and leave the machine as such; 0, 1, 2, ... are what an array without names gets.
    if any(_is_number(name) for name in names) and names != [str(i) for i in range(len(names))]:
        raise FeaturesError(path, "its first line holds numbers", remedy="write the columns' names there")
    frame = pandas.read_csv(path, low_memory=False)
    if not isinstance(frame.index, pandas.RangeIndex):
        raise FeaturesError(
            path, f"rows have more cells than the {len(names)} names of the first line", remedy="name every column"
        )
    return frame.set_axis(names, axis=1)


def _parquet(path: Path):
    import pandas

    frame = pandas.read_parquet(path, engine="pyarrow")
    names = [str(name) for name in frame.columns]
    _check_names(names, path)
    return frame.set_axis(names, axis=1)


def _check_names(names: list[str], path: Path) -> None:
    for i, name in enumerate(names):
        if not name.strip():
            raise FeaturesError(f"{path}: column {i + 1}", "has no name", remedy="write the table without its index")
        if name in names[:i]:
            raise FeaturesError(f"{path}: {name}", "two columns have this name", remedy="rename one")


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _numbers(column, place: str) -> np.ndarray:
    import numpy as np
    from pandas.api import types

    if not types.is_numeric_dtype(column) or types.is_complex_dtype(column):
        raise FeaturesError(
            place, f"must hold numbers, got {column.dtype}", remedy="encode it as the teacher takes it, or leave it out"
        )
    if missing := int(column.isna().sum()):
        raise FeaturesError(
            place, f"{missing:,} of {len(column):,} values are missing", remedy="drop or fill those rows"
        )
    values = column.to_numpy(dtype=np.float64)
    if infinite := int((~np.isfinite(values)).sum()):
        raise FeaturesError(place, f"{infinite:,} of {len(column):,} values are infinite", remedy="drop those rows")
    return values
