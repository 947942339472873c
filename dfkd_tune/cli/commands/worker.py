"""``worker``: join a study from another machine, or from another terminal."""

from __future__ import annotations

import sys

import click

from dfkd_tune.cli.options import ARCHITECTURE, DEVICE, NAME, STORAGE, TRACKING_OF_STUDY, TRUST
from dfkd_tune.utils.signals import Signals


@click.command(short_help="Join a study as another worker.")
@NAME
@STORAGE
@TRACKING_OF_STUDY
@click.option("--teacher", help="Path of the study's teacher on this machine.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Path of the study's features file on this machine.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="How long to wait for a study that does not exist yet.",
    show_default=True,
)
@DEVICE
@TRUST
def worker(
    name: str,
    storage: str | None,
    tracking_uri: str | None,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    wait: float,
    device: str,
    trust_pickle: bool,
) -> None:
    """Join study NAME as another worker, and run trials until all are done or the study's time is up."""
    from rich.console import Console

    from dfkd_tune.locations import paths
    from dfkd_tune.registry.sources import Sources
    from dfkd_tune.reporting import terminal_progress
    from dfkd_tune.reporting.failed_study import require_complete
    from dfkd_tune.study.workers import join

    sources, console = Sources(teacher, architecture, features, trust_pickle), Console(file=sys.stdout)
    with Signals() as stop, terminal_progress.watch(console, name) as on_progress:
        where = (paths.optuna_url(storage), tracking_uri, sources)
        result = join(
            name, *where, on_progress=on_progress, should_stop=lambda: bool(stop), device=device, patience=wait
        )
    p = require_complete(result).progress
    if p.ended < p.total:
        told = f"the study's time was up after {p.ended:,} of {p.total:,} trials; dfkd-tune study goes on with the rest"
    else:
        told = f"all {p.total} trials are done"
    console.print(f"{name}: {told}", highlight=False, soft_wrap=True)
