"""Describe a table of a file in a features file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.locations.files import require_place, write_output
from dfkd_tune.tables.describe import TABLE, describe
from dfkd_tune.tables.read import FOUND, Reading, read_table
from dfkd_tune.utils import yaml_io


def describe_file(
    data: Path,
    out: Path,
    tier: str = "quantiles",
    targets: tuple[str, ...] = (),
    reading: Reading = FOUND,
) -> list[str]:
    """Describe a table in a features file, and return the lines to print about it.

    Args:
        data, reading: path of the table and options, as for ``read_table``.
        out: path of the features file.
        tier: one of ``TIERS``.
        targets: names of columns to leave out.

    Raises:
        FeaturesError: the table cannot be read or described; nothing is written.
        ExportError: ``out`` cannot be written.
    """
    if out.exists() and out.resolve() == data.resolve():
        raise FeaturesError(out, "is the table itself", remedy="write the features file elsewhere")
    require_place(out)
    table, at_least = read_table(data, reading, targets), reading.at_least
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # overflow is refused below
            told = describe(table, tier, at_least, reading.windows and reading.windows.steps)
    except FeaturesError as error:
        place = data if error.place == TABLE else f"{data}: {error.place}"
        raise FeaturesError(place, error.rule, remedy=error.remedy) from None
    inputs = parse_features(told.tree(), data)
    what = f"{tier}, windows" if reading.windows else tier
    head = f"# {told.rows} rows described ({what}), every number of {at_least} rows or more\n"
    write_output(out, (head + yaml_io.dump(told.tree(), compact=True)).encode())
    columns = len(told.features)
    of_what = f"{columns} features" if told.steps is None else f"windows of {told.steps} steps of {columns} channels"
    return [
        f"{data}: {told.rows:,} rows, {of_what}" + (f", without {', '.join(targets)}" if targets else ""),
        *(f"  {line}" for line in [*table.notes, *told.lines()]),
        f"tier {inputs.tier}, every number of {at_least} rows or more; wrote {out}; no row leaves this machine",
    ]
