"""``describe``: create a features file from a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkd_tune.cli.options import text_layout

if TYPE_CHECKING:
    from dfkd_tune.tables.delimited import Layout


@click.command(short_help="Create features.yaml from a table (aggregates only).")
@click.argument("data", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="Features file to write.")
@click.option(
    "--tier",
    type=click.Choice(["moments", "quantiles", "correlation", "mixture"]),
    default="quantiles",
    show_default=True,
    help="Statistics to write: mean and std; quantiles; quantiles and rank correlations; or quantiles and a mixture of copulas.",
)
@click.option("--target", "targets", multiple=True, help="Column to leave out. Repeat it for several columns.")
@click.option(
    "--window",
    type=click.IntRange(min=2),
    help="Describe windows of this many rows, for a teacher that takes windows: also how fast columns move.",
)
@click.option("--group", help="With --window: column that separates series apart; no window crosses two of them.")
@click.option("--time", help="With --window: column of times that orders the rows; default: they are in order.")
@click.option(
    "--at-least",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Minimum number of rows behind every number in the file.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "parquet", "feather"]),
    help="Format of DATA; default: by its file name.",
)
@text_layout
@click.option(
    "--missing",
    type=click.Choice(["refuse", "drop", "level"]),
    default="refuse",
    show_default=True,
    help="Missing values: refuse the table, drop their rows, or describe how often they occur.",
)
@click.option(
    "--epsilon",
    type=float,
    help="Describe with differential privacy of every row, with this privacy loss, such as 1. Needs --bounds.",
)
@click.option("--delta", type=float, help="With --epsilon: probability that the guarantee fails; default: 1e-6.")
@click.option(
    "--bounds",
    type=click.Path(),
    help="With --epsilon: features file of what is public, a range or levels of each column.",
)
def describe(
    data: str,
    out: str,
    tier: str,
    targets: tuple[str, ...],
    window: int | None,
    group: str | None,
    time: str | None,
    at_least: int,
    kind: str | None,
    layout: Layout,
    missing: str,
    epsilon: float | None,
    delta: float | None,
    bounds: str | None,
) -> None:
    """Create a features file from the table DATA. It holds only aggregates: no row leaves this machine."""
    from dfkd_tune.tables.files import describe_file, guarded_by
    from dfkd_tune.tables.read import Reading
    from dfkd_tune.tables.series import Windows

    if window is None and (group or time):
        raise click.UsageError("--group and --time are about windows: give --window as well")
    guarded = guarded_by(epsilon, delta, None if bounds is None else Path(bounds))
    windows = None if window is None else Windows(window, group, time)
    reading = Reading(kind, layout, missing, at_least, windows)
    lines = describe_file(Path(data), Path(out), tier, targets, reading, guarded, partial(click.echo, err=True))
    click.echo("\n".join(lines))
