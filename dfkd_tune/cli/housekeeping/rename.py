"""``rename``: give a study another name."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import NAME, STORAGE, TRACKING


@click.command(short_help="Give a study another name.")
@NAME
@click.argument("new")
@STORAGE
@TRACKING
def rename(name: str, new: str, storage: str | None, tracking_uri: str | None) -> None:
    """Rename study NAME to NEW in Optuna, in MLflow and on the registered versions made from it."""
    from dfkd_tune.locations import paths
    from dfkd_tune.study import upkeep
    from dfkd_tune.tracking.connection import reaching

    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    with reaching(uri):
        upkeep.rename(name, new, storage_url, uri)
    click.echo(f"{name} is now {new}; its study file needs the new name to go on with it")
