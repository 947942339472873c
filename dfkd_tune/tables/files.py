"""Describe a table of a file in a features file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.locations.files import require_place, write_output
from dfkd_tune.tables.describe import TABLE, Description, describe
from dfkd_tune.tables.private.accountant import Privacy
from dfkd_tune.tables.private.bounds import Bounds, bounds_of
from dfkd_tune.tables.private.describe import TIERS as PRIVATE_TIERS
from dfkd_tune.tables.private.describe import PrivateDescription, describe_privately
from dfkd_tune.tables.read import FOUND, Reading, Table, read_table
from dfkd_tune.utils import yaml_io


@dataclass(frozen=True)
class Guarded:
    """Differential privacy in place of aggregates of many rows.

    Args:
        privacy: epsilon and delta.
        bounds: what is public of the columns: path or content of a features file.
    """

    privacy: Privacy
    bounds: Path | Any

    def limits(self, table: Table) -> list[Bounds]:
        """The bounds of a table's columns; raises as ``bounds_of`` does."""
        return bounds_of(self.bounds, table.names)


def guarded_by(epsilon: float | None, delta: float | None, bounds: Path | Any) -> Guarded | None:
    """What was asked for; None for aggregates.

    Args:
        epsilon, delta: the guarantee; None where not given.
        bounds: path or content of a features file; None where not given.

    Raises:
        FeaturesError: one was given without the others that it needs, or is out of range.
    """
    if epsilon is None:
        for name, given in (("delta", delta), ("bounds", bounds)):
            if given is not None:
                raise FeaturesError(f"--{name}", "is about differential privacy", remedy="give --epsilon as well")
        return None
    privacy = Privacy(epsilon) if delta is None else Privacy(epsilon, delta)
    if bounds is None:
        rule = "needs the bounds of every column: differential privacy may not learn them from the table"
        raise FeaturesError("--epsilon", rule, remedy="give --bounds with a range or levels of each column")
    return Guarded(privacy, bounds)


def describe_table(
    table: Table, tier: str, reading: Reading = FOUND, guarded: Guarded | None = None, limits: Sequence[Bounds] = ()
) -> Description | PrivateDescription:
    """Describe a table by aggregates of at least ``reading.at_least`` rows, or with differential privacy.

    Args:
        table: what ``read_table`` returned with ``reading``.
        tier: one of ``TIERS`` of ``describe``.
        reading: options that the table was read with.
        guarded: None for aggregates.
        limits: with ``guarded``, the bounds of each column, in their order.

    Raises:
        FeaturesError: the table cannot be described.
    """
    if guarded is None:
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads the description refuses an overflow
            return describe(table, tier, reading.at_least, reading.windows and reading.windows.steps)
    return describe_privately(table, tier, guarded.privacy, limits)


def reading_for(reading: Reading, tier: str, guarded: Guarded | None) -> Reading:
    """The options to read a table with; missing values are what the bounds say, where there are bounds.

    Raises:
        FeaturesError: differential privacy does not go with the tier or an option.
    """
    if guarded is None:
        return reading
    if reading.at_least != FOUND.at_least:
        rule = "is the rule of aggregates without --epsilon; with it, noise protects every row"
        raise FeaturesError("--at-least", rule, remedy="leave it out")
    if reading.missing != FOUND.missing:
        rule = "is without --epsilon; with it, a value may be missing where the bounds say so"
        raise FeaturesError(
            "--missing", rule, remedy="leave it out; in --bounds, declare missing: 0.1, or a level null"
        )
    if tier not in PRIVATE_TIERS:
        rule = f"{tier} is not described with --epsilon"
        raise FeaturesError("--tier", rule, remedy=f"--tier {PRIVATE_TIERS[0]} or {PRIVATE_TIERS[1]}")
    if reading.windows is not None:
        rule = "cannot be combined with --epsilon: one row is in many windows, and in the next person's too"
        raise FeaturesError("--window", rule, remedy="describe the rows, and declare the speed of the channels by hand")
    return Reading(reading.kind, reading.layout, "level", reading.at_least)


def describe_file(
    data: Path,
    out: Path,
    tier: str = "quantiles",
    targets: tuple[str, ...] = (),
    reading: Reading = FOUND,
    guarded: Guarded | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> list[str]:
    """Describe a table in a features file, and return the lines to print about it.

    Args:
        data, reading: path of the table and options, as for ``read_table``.
        out: path of the features file.
        tier: one of ``TIERS`` of ``describe``.
        targets: names of columns to leave out.
        guarded: differential privacy in place of aggregates.
        warn: gets each warning.

    Raises:
        FeaturesError: the table cannot be read or described; nothing is written.
        ExportError: ``out`` cannot be written.
    """
    if out.exists() and out.resolve() == data.resolve():
        raise FeaturesError(out, "is the table itself", remedy="write the features file elsewhere")
    require_place(out)
    reading = reading_for(reading, tier, guarded)
    table = read_table(data, reading, targets)
    limits = () if guarded is None else guarded.limits(table)
    try:
        told = describe_table(table, tier, reading, guarded, limits)
    except FeaturesError as error:
        place = data if error.place == TABLE else f"{data}: {error.place}"
        raise FeaturesError(place, error.rule, remedy=error.remedy) from None
    inputs = parse_features(told.tree(), data)
    if isinstance(told, PrivateDescription):
        head, rows, rule = told.head(tier), f"about {told.rows:,}", told.guarantee
        for warning in told.warnings():
            warn(f"{data}: {warning}")
    else:
        what = f"{tier}, windows" if reading.windows else tier
        rule = f"every number of {reading.at_least} rows or more"
        head, rows = [f"{told.rows} rows described ({what}), {rule}"], f"{told.rows:,}"
    text = "".join(f"# {line}\n" for line in head) + yaml_io.dump(told.tree(), compact=True)
    write_output(out, text.encode())
    columns = len(told.features)
    of_what = f"{columns} features" if told.steps is None else f"windows of {told.steps} steps of {columns} channels"
    return [
        f"{data}: {rows} rows, {of_what}" + (f", without {', '.join(targets)}" if targets else ""),
        *(f"  {line}" for line in [*table.notes, *told.lines()]),
        f"tier {inputs.tier}, {rule}; wrote {out}; no row leaves this machine",
    ]
