"""``report``: a study as one page."""

from __future__ import annotations

from pathlib import Path

import click

from .options import NAME, STORAGE, TRACKING


@click.command(short_help="A study as one HTML page, the answer first.")
@NAME
@click.option("--out", type=click.Path(), help="File to write; default NAME-report.html.")
@STORAGE
@TRACKING
def report(name, out, storage, tracking_uri) -> None:
    """Write what a study found as one self-contained HTML page, the answer first."""
    from .. import places, shipping
    from ..report import report as study_report
    from ..stores import reaching

    storage_url, uri = places.optuna_url(storage), places.tracking_url(tracking_uri)
    with reaching(uri):
        page = study_report(storage_url, uri, name)
    file = Path(out or f"{name}-report.html")
    shipping.write(file, page.encode())
    click.echo(f"wrote {file}")
