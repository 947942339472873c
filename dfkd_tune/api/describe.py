"""``describe``: aggregates of a table, for whoever holds the data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfkd_tune.api.error_words import in_python
from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables import describe as tables
from dfkd_tune.tables.describe import Description
from dfkd_tune.tables.read import Reading, read_table
from dfkd_tune.tables.series import Windows
from dfkd_tune.utils.given.checks import COUNT, NAMES, TEXT, require


def describe(
    data: Any,
    *,
    tier: str = "quantiles",
    targets: Sequence[str] = (),
    at_least: int = 10,
    window: int | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Description:
    """Describe a table by aggregates of at least ``at_least`` rows, as ``dfkd-tune describe`` does.

        dt.tune(teacher, features=dt.describe(frame, targets=["yield"]), ...)

    Args:
        data: path of a table, or a pandas data frame, with the features in the teacher's order.
        tier: ``moments``, ``quantiles`` or ``correlation``.
        targets: names of columns to leave out.
        at_least: smallest number of rows behind every number.
        window: number of steps of a window, for a table whose rows follow each other.
        group: name of the column that tells series apart, for windows.
        time: name of the column of times that orders the rows, for windows; by default they are in order.

    Returns:
        The description; ``features=`` of ``distill`` and ``tune`` takes it, and its ``tree()`` is a features file.

    Raises:
        FeaturesError: the table cannot be read or described.
    """
    columns = {"targets": (targets, NAMES), "group": (group, TEXT), "time": (time, TEXT)}
    require("describe", {"tier": (tier, TEXT), **columns, "at_least": (at_least, COUNT)}, "tier")
    if tier not in tables.TIERS:
        raise FeaturesError("describe: tier", f"unknown tier {tier!r}", remedy=f"known: {', '.join(tables.TIERS)}")
    if window is None and (group is not None or time is not None):
        raise FeaturesError("describe: window", "group and time are about windows", remedy="give window as well")
    if window is not None and (type(window) is not int or window < 2):
        raise FeaturesError("describe: window", f"must be a whole number from 2, got {window!r}", remedy="window=24")
    windows = None if window is None else Windows(window, group, time)
    with in_python("describe"), tempfile.TemporaryDirectory() as folder:
        path = Path(data) if isinstance(data, str | Path) else _written(data, Path(folder))
        try:
            table = read_table(path, Reading(at_least=at_least, windows=windows), tuple(targets))
            return tables.describe(table, tier, at_least, window)
        except FeaturesError as error:
            if not error.place.startswith(folder):
                raise
            place = error.place.replace(str(path), "describe: data", 1)  # nobody has seen this file
            raise FeaturesError(place, error.rule, remedy=error.remedy) from None


def _written(frame: Any, folder: Path) -> Path:
    """A data frame as a file, so that one reader has all the rules."""
    if not hasattr(frame, "to_parquet"):
        rule = f"must be a path or a pandas data frame, got a {type(frame).__name__}"
        raise FeaturesError("describe: data", rule, remedy="pandas.DataFrame(array, columns=names)")
    path = folder / "table.parquet"
    try:
        frame.to_parquet(path)
    except Exception as error:
        raise FeaturesError(
            "describe: data", f"cannot be read: {error}", remedy="give columns of plain types"
        ) from None
    return path
