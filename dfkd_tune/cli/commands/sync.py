"""``sync``: the MLflow side of a study, completed."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import ARCHITECTURE, STORAGE, TRACKING, TRUST


@click.command(short_help="MLflow's side of a study, made whole.")
@click.argument("name")
@click.option("--teacher", help="Where the teacher is now, for a certificate that is missing.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Where the features file is now.")
@STORAGE
@TRACKING
@TRUST
def sync(
    name: str,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    storage: str | None,
    tracking_uri: str | None,
    trust_pickle: bool,
) -> None:
    """Complete MLflow's records of a study, or make them again, from the spool and the study's storage."""
    from dfkd_tune.locations import paths
    from dfkd_tune.registry.sources import Sources
    from dfkd_tune.study.sync import sync as run_sync
    from dfkd_tune.tracking.connection import reaching

    sources = Sources(teacher, architecture, features, trust_pickle)
    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    with reaching(uri):
        done = run_sync(storage_url, uri, name, sources)
    counts = {
        "batches written": done.written,
        "runs made from the storage alone": done.rebuilt,
        "runs ended as KILLED": done.ended,
        "sessions still running": done.busy,
        "certificates made": int(done.certified),
        "stories told": int(done.told),
        "records refused": len(done.refused),
    }
    said = ["the experiment restored, which had been deleted"] if done.restored else []
    said += [f"{count:,} {what}" for what, count in counts.items() if count]
    told = ", ".join(said) or "nothing was missing"
    click.echo(f"{name}: {done.runs:,} runs in MLflow; {told}")
    for reason in done.refused[:5]:
        click.echo(f"refused: {reason}", err=True)
