"""``remove``: delete a study with everything that was kept for it."""

from __future__ import annotations

import sys

import click

from dfkd_tune.cli.options import NAME, STORAGE, TRACKING


@click.command(short_help="Delete a study, its runs and its files.")
@NAME
@click.option("--yes", is_flag=True, help="Delete without asking.")
@STORAGE
@TRACKING
def remove(name: str, yes: bool, storage: str | None, tracking_uri: str | None) -> None:
    """Delete study NAME: its trials, its MLflow runs, and files that no other study uses. Lists them first.

    A study that is running, or from which a registered model was made, is not deleted.
    """
    from dfkd_tune.locations import paths
    from dfkd_tune.study import upkeep
    from dfkd_tune.tracking.connection import reaching

    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    with reaching(uri):
        plan = upkeep.plan_removal(name, storage_url, uri)
        for line in plan.lines():
            click.echo(line)
        if not yes and not sys.stdin.isatty():
            click.echo("nothing was deleted; --yes deletes it", err=True)
            return
        if not yes and not click.confirm("Delete it?"):
            click.echo("nothing was deleted")
            return
        buried = upkeep.remove(plan)
    again = "" if buried is None else f"; MLflow keeps the runs as the deleted experiment {buried}"
    click.echo(f"{name} was deleted{again}")
