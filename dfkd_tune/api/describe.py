"""``describe``: aggregates of a table, for whoever holds the data."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfkd_tune.api.error_words import in_python, worded
from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.delimited import Layout
from dfkd_tune.tables.describe import TIERS, Description
from dfkd_tune.tables.files import describe_table, guarded_by, reading_for
from dfkd_tune.tables.private.describe import PrivateDescription
from dfkd_tune.tables.read import FORMATS, POLICIES, Reading, read_table
from dfkd_tune.tables.series import Windows
from dfkd_tune.utils.given.checks import COUNT, FLAG, NAMES, SHARE, TEXT, require

PLACE = "describe: data"
"""Place of an error in a data frame."""


def describe(
    data: Any,
    *,
    tier: str = "quantiles",
    targets: Sequence[str] = (),
    at_least: int = 10,
    missing: str = "refuse",
    window: int | None = None,
    group: str | None = None,
    time: str | None = None,
    kind: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
    bounds: Any = None,
) -> Description:
    """Describe a table by aggregates of at least ``at_least`` rows, or with differential privacy, as ``dfkd-tune describe`` does.

        dt.tune(teacher, features=dt.describe(frame, targets=["yield"]), ...)

    Args:
        data: path of a table, or a pandas data frame, with the features in the teacher's order. An index with a name is a column; one
            of row numbers is not.
        tier: ``moments``, ``quantiles``, ``correlation`` or ``mixture``.
        targets: names of columns to leave out.
        at_least: smallest number of rows behind every number.
        missing: what to do about missing values: ``refuse`` the table, ``drop`` their rows, or describe how often they occur
            (``level``).
        window: number of steps of a window, for a table whose rows follow each other.
        group: name of the column that tells series apart, for windows.
        time: name of the column of times that orders the rows, for windows; by default they are in order.
        kind: format of a file: ``csv``, ``parquet`` or ``feather``; default: by its name.
        separator, decimal, encoding: column separator, decimal sign and encoding of a text file; default: as they are found.
        header: whether the first line of a text file holds names even if it looks like data.
        epsilon: privacy loss, for a description with differential privacy of every row in place of ``at_least``.
        delta: probability that this guarantee fails; default: 1e-6.
        bounds: what is public of the columns, a range or levels of each, as ``features=`` takes it; needed with ``epsilon``.

    Returns:
        The description; ``features=`` of ``distill`` and ``tune`` takes it, and its ``tree()`` is a features file.

    Raises:
        FeaturesError: the table cannot be read or described.
    """
    columns = {"targets": (targets, NAMES), "group": (group, TEXT), "time": (time, TEXT)}
    layout = {
        "separator": (separator, TEXT),
        "decimal": (decimal, TEXT),
        "encoding": (encoding, TEXT),
        "header": (header, FLAG),
    }
    texts = {"tier": (tier, TEXT), "missing": (missing, TEXT), "kind": (kind, TEXT)}
    budget = {"epsilon": (epsilon, SHARE), "delta": (delta, SHARE)}
    require("describe", {**texts, **columns, "at_least": (at_least, COUNT), **layout, **budget}, "tier")
    choices = {
        "tier": (tier, TIERS),
        "missing": (missing, POLICIES),
        "kind": (kind, (None, *FORMATS)),
        "decimal": (decimal, (None, ".", ",")),
    }
    for name, (given, known) in choices.items():
        if given not in known:
            remedy = f"known: {', '.join(map(str, known))}"
            raise FeaturesError(f"describe: {name}", f"unknown {name} {given!r}", remedy=remedy)
    if window is None and (group is not None or time is not None):
        raise FeaturesError("describe: window", "group and time are about windows", remedy="give window as well")
    if window is not None and (type(window) is not int or window < 2):
        raise FeaturesError("describe: window", f"must be a whole number from 2, got {window!r}", remedy="window=24")
    windows = None if window is None else Windows(window, group, time)
    reading = Reading(kind, Layout(separator, decimal, encoding, header), missing, at_least, windows)
    with in_python("describe"), tempfile.TemporaryDirectory() as folder:
        guarded = guarded_by(epsilon, delta, Path(bounds) if isinstance(bounds, str) else bounds)
        reading = reading_for(reading, tier, guarded)
        path = Path(data) if isinstance(data, str | Path) else _written(data, Path(folder))
        try:
            table = read_table(path, reading, tuple(targets))
            limits = () if guarded is None else guarded.limits(table)
            told = describe_table(table, tier, reading, guarded, limits)
        except FeaturesError as error:
            if path.parent != Path(folder):
                raise
            raise FeaturesError(error.place.replace(str(path), PLACE), error.rule, remedy=error.remedy) from None
    if isinstance(told, PrivateDescription):
        for warning in told.warnings():
            warnings.warn(f"describe: {worded(warning)}", stacklevel=2)
    return told


def _written(frame: Any, folder: Path) -> Path:
    """A data frame as a file, so that one reader has all the rules."""
    if not hasattr(frame, "to_parquet"):
        rule = f"must be a path or a pandas data frame, got a {type(frame).__name__}"
        raise FeaturesError(PLACE, rule, remedy="pandas.DataFrame(array, columns=names)")
    path = folder / "table.parquet"
    try:
        _numbered(frame).to_parquet(path)
    except FeaturesError:
        raise
    except Exception as error:
        raise FeaturesError(PLACE, f"cannot be read: {error}", remedy="give columns of plain types") from None
    return path


def _numbered(frame: Any) -> Any:
    """A data frame whose index holds no row numbers: those of a frame that was filtered or shuffled are no column.

    Raises:
        FeaturesError: the index has no name and holds something else, which may be a feature.
    """
    index = frame.index
    if any(name is not None for name in index.names):
        return frame
    if index.nlevels > 1 or index.inferred_type not in ("integer", "empty"):
        what = "several levels" if index.nlevels > 1 else f"values of type {index.inferred_type}"
        rule = f"has an index without a name that holds {what}"
        remedy = "frame.reset_index(drop=True) leaves it out; give it a name if it is a feature"
        raise FeaturesError(PLACE, rule, remedy=remedy)
    return frame.reset_index(drop=True)
