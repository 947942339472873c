"""``rollback``: point an alias of a registered model at the version that it had before."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import TRACKING


@click.command(short_help="Move a model's alias back to the version before.")
@click.argument("model")
@click.option("--alias", default="champion", show_default=True, help="Alias to move.")
@TRACKING
def rollback(model: str, alias: str, tracking_uri: str | None) -> None:
    """Point an alias of the registered MODEL at the version that it had before. Repeating it goes further back."""
    from dfkd_tune.locations import paths
    from dfkd_tune.registry import aliases
    from dfkd_tune.tracking.connection import reaching

    uri = paths.tracking_url(tracking_uri)
    with reaching(uri):
        done = aliases.rollback(uri, model, alias)
    before = "it was deleted" if done.before is None else f"it was version {done.before}"
    click.echo(f"models:/{model}@{alias} is version {done.version} again; {before}")
