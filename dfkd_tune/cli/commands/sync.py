"""``sync``: repair or rebuild the MLflow runs of a study."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import STORAGE, TRACKING, current_files
from dfkd_tune.registry.sources import Sources


@click.command(short_help="Repair or rebuild the MLflow runs of a study.")
@click.argument("name")
@current_files
@STORAGE
@TRACKING
def sync(
    name: str,
    sources: Sources,
    storage: str | None,
    tracking_uri: str | None,
) -> None:
    """Repair or rebuild the MLflow runs of study NAME from the outbox on disk and the Optuna storage."""
    from dfkd_tune.locations import paths
    from dfkd_tune.study.sync import sync as run_sync
    from dfkd_tune.tracking.connection import reaching

    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    with reaching(uri):
        done = run_sync(storage_url, uri, name, sources)
    counts = {
        "batches written": done.written,
        "runs made from the storage alone": done.rebuilt,
        "runs ended as KILLED": done.ended,
        "sessions still running": done.busy,
        "certificates made": int(done.certified),
        "study summaries written": int(done.summarized),
        "students logged as models": done.models,
        "versions made in MLflow described": done.versions,
        "records refused": len(done.refused),
    }
    said = ["the experiment restored, which had been deleted"] if done.restored else []
    said += [f"{count:,} {what}" for what, count in counts.items() if count]
    told = ", ".join(said) or "nothing was missing"
    click.echo(f"{name}: {done.runs:,} runs in MLflow; {told}")
    for reason in done.refused[:5]:
        click.echo(f"refused: {reason}", err=True)
