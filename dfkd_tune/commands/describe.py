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
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), help="Of DATA; default by its name.")
def describe(data, out, tier, targets, at_least, kind) -> None:
    """Write what may be told of a table as a features file; runs where the data live, and no row leaves."""
    from .. import describe as describing

    click.echo("\n".join(describing.describe_file(Path(data), Path(out), tier, targets, at_least, kind)))
