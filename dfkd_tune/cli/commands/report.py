"""``report``: write a study's results as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from dfkd_tune.cli.options import NAME, STORAGE, TRACKING


@click.command(short_help="Write the results of a study as one HTML page.")
@NAME
@click.option("--out", type=click.Path(), help="File to write; default: NAME-report.html.")
@STORAGE
@TRACKING
def report(name: str, out: str | None, storage: str | None, tracking_uri: str | None) -> None:
    """Write the results of study NAME as one self-contained HTML page."""
    from dfkd_tune.locations import paths
    from dfkd_tune.locations.files import require_place, write_output
    from dfkd_tune.reporting.html_report import report as study_report
    from dfkd_tune.tracking.connection import reaching

    file = Path(out or f"{name}-report.html")
    require_place(file)
    storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
    with reaching(uri):
        page = study_report(storage_url, uri, name)
    write_output(file, page.encode())
    click.echo(f"wrote {file}")
