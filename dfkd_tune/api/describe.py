"""``describe``: aggregates of a table, for whoever holds the data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfkd_tune.api.words import in_python
from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables import describe as tables
from dfkd_tune.tables.describe import Description
from dfkd_tune.tables.read import Reading, read_table


def describe(data: Any, *, tier: str = "quantiles", targets: Sequence[str] = (), at_least: int = 10) -> Description:
    """Describe a table by aggregates of at least ``at_least`` rows, as ``dfkd-tune describe`` does.

        dt.tune(teacher, features=dt.describe(frame, targets=["yield"]), ...)

    Args:
        data: path of a table, or a pandas data frame, with the features in the teacher's order.
        tier: ``moments``, ``quantiles`` or ``correlation``.
        targets: names of columns to leave out.
        at_least: smallest number of rows behind every number.

    Returns:
        The description; ``features=`` of ``distill`` and ``tune`` takes it, and its ``tree()`` is a features file.

    Raises:
        FeaturesError: the table cannot be read or described.
    """
    if tier not in tables.TIERS:
        raise FeaturesError("describe: tier", f"unknown tier {tier!r}", remedy=f"known: {', '.join(tables.TIERS)}")
    with in_python("describe"), tempfile.TemporaryDirectory() as folder:
        path = Path(data) if isinstance(data, str | Path) else _written(data, Path(folder))
        return tables.describe(read_table(path, Reading(at_least=at_least), tuple(targets)), tier, at_least)


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
