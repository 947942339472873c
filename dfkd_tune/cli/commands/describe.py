"""``describe``: a table's features file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="A table's features file; no row leaves.")
@click.argument("data", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="Features file to write.")
@click.option(
    "--tier", type=click.Choice(["moments", "quantiles", "correlation"]), default="quantiles", show_default=True
)
@click.option("--target", "targets", multiple=True, help="Column to leave out; may be given several times.")
@click.option("--at-least", type=click.IntRange(min=2), default=10, show_default=True, help="Rows behind every number.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "parquet", "feather"]), help="Of DATA; default by its name."
)
@click.option("--separator", help="Between columns: a character, comma, semicolon, tab, pipe or space; default found.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal sign; default found.")
@click.option("--encoding", help="Of text, such as utf-16 or cp1252; default found.")
@click.option("--header", is_flag=True, help="The first line holds names, even where it looks like a row.")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "drop", "level"]),
    default="refuse",
    show_default=True,
    help="Missing values: refuse the table, drop their rows, or make them one more level.",
)
def describe(
    data: str,
    out: str,
    tier: str,
    targets: tuple[str, ...],
    at_least: int,
    kind: str | None,
    separator: str | None,
    decimal: str | None,
    encoding: str | None,
    header: bool,
    missing: str,
) -> None:
    """Write what may be told of a table as a features file; runs where the data live, and no row leaves."""
    from dfkd_tune.tables import describe as describing
    from dfkd_tune.tables.delimited import Layout
    from dfkd_tune.tables.read import Reading

    reading = Reading(kind, Layout(separator, decimal, encoding, header), missing, at_least)
    click.echo("\n".join(describing.describe_file(Path(data), Path(out), tier, targets, reading)))
