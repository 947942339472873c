"""``latency``: time a student beside its teacher."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import NAME, TRACKING, current_files
from dfkd_tune.registry.sources import Sources


@click.command(short_help="Time a student beside its teacher, in every runtime.")
@NAME
@click.option("--trial", type=click.IntRange(min=0), help="Number of the trial; default: the promoted student.")
@click.option("--json", "as_json", is_flag=True, help="Print the timings as JSON.")
@current_files
@TRACKING
def latency(
    name: str,
    trial: int | None,
    as_json: bool,
    sources: Sources,
    tracking_uri: str | None,
) -> None:
    """Time the student of study NAME and its teacher on this machine, for one row and for 1,000 rows.

    The student runs in PyTorch, as an exported program, in ONNX Runtime and in C, as far as they are installed. All take turns on one
    thread. The certificate keeps the timings.
    """
    from dataclasses import asdict

    from rich.table import Table

    from dfkd_tune.locations.paths import tracking_url
    from dfkd_tune.reporting.terminal_summary import wide
    from dfkd_tune.tracking.connection import reaching
    from dfkd_tune.tracking.run_lookup import require_study
    from dfkd_tune.utils.text import strict_json

    uri = tracking_url(tracking_uri)
    with reaching(uri):
        require_study(uri, name, trial)
        from dfkd_tune.registry.exports.latency import student_latency  # seconds, for which a refusal does not wait
        from dfkd_tune.utils import hardware

        found, kept = student_latency(uri, name, trial, sources)
    if as_json:
        return click.echo(strict_json.dumps([asdict(each) for each in found], indent=1))
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("runs in", "rows", "microseconds", "quartiles", "times as fast"):
        shown.add_column(title, justify="left" if title == "runs in" else "right")
    for each in found:
        quartiles = f"{each.low:.3g} to {each.high:.3g}"
        shown.add_row(each.runtime, f"{each.rows:,}", f"{each.median:.3g}", quartiles, f"{each.faster:.3g}")
    wide().print(shown)
    click.echo(f"{hardware.name()}, one thread; median and quartiles of a call")
    if not kept:
        click.echo("the student has no certificate that could keep the timings: dfkd-tune register makes one", err=True)
