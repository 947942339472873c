"""``evaluate``: compare a student with its teacher on real rows, once, at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkd_tune.cli.options import NAME, TRACKING, current_files, text_layout
from dfkd_tune.registry.sources import Sources

if TYPE_CHECKING:
    from dfkd_tune.registry.exports.real_rows import OnRows
    from dfkd_tune.tables.delimited import Layout

SHOWN = 8
"""Number of features whose drift is printed."""


@click.command(short_help="Compare a student with its teacher on real rows, once, at the end.")
@NAME
@click.option("--data", required=True, type=click.Path(), help="Table with a column for each feature.")
@click.option(
    "--target", "targets", multiple=True, help="Column with the true output; once for each output, in their order."
)
@click.option("--trial", type=click.IntRange(min=0), help="Number of the trial; default: the promoted student.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "parquet", "feather"]), help="Format; default: by its name."
)
@text_layout
@click.option(
    "--missing",
    type=click.Choice(["refuse", "drop", "level"]),
    default="level",
    show_default=True,
    help="Missing values: refuse the table, drop their rows, or hand them to teacher and student.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@current_files
@TRACKING
def evaluate(
    name: str,
    data: str,
    targets: tuple[str, ...],
    trial: int | None,
    kind: str | None,
    layout: Layout,
    missing: str,
    as_json: bool,
    sources: Sources,
    tracking_uri: str | None,
) -> None:
    """Compare the student of study NAME with its teacher on the real rows of a table.

    This chooses nothing and changes no student. The figures are logged to the student's run and to its registered versions; no row is.
    """
    from dfkd_tune.locations.paths import tracking_url
    from dfkd_tune.tracking.connection import reaching
    from dfkd_tune.tracking.run_lookup import require_study
    from dfkd_tune.utils.text import strict_json

    uri = tracking_url(tracking_uri)
    with reaching(uri):
        require_study(uri, name, trial)
        from dfkd_tune.registry.exports.real_rows import evaluate_rows  # seconds, for which a refusal does not wait
        from dfkd_tune.tables.read import Reading

        reading = Reading(kind, layout, missing)
        found = evaluate_rows(uri, name, trial, Path(data), reading, targets, sources)
    click.echo(strict_json.dumps(found.as_dict(), indent=1) if as_json else "\n".join(in_words(found)))


def in_words(found: OnRows) -> list[str]:
    """The figures of an evaluation, line by line."""
    share = (
        ""
        if found.nrmse is None
        else f", {100 * found.nrmse:.3g} % of the teacher's standard deviation, R2 {found.r2:.5f}"
    )
    lines = [
        f"{found.table}, {found.rows:,} rows: RMSE to the teacher {found.rmse:.4g}{share}; largest gap {found.worst_gap:.4g}",
        *found.notes,
    ]
    for each in found.outputs:
        half, most, nearly = (f"{value:.4g}" for value in each.quantiles)
        lines.append(
            f"output {each.name}: RMSE {each.rmse:.4g}; 50 % within {half}, 95 % within {most}, 99 % within {nearly}"
        )
        if each.student_rmse is not None:
            lines.append(
                f"output {each.name}: RMSE to the table {each.student_rmse:.4g}; the teacher's is {each.teacher_rmse:.4g}"
            )
    lines.append(
        f"worst rows (the first is row 0), with gaps in standard deviations: {', '.join(f'{row} ({gap:.3g})' for row, gap in found.worst)}"
    )
    for region in found.regions:
        lines.append(
            f"where {region}: {100 * region.share:.3g} % of the rows, RMSE {region.ratio:.2f} times the overall one"
        )
    if found.in_domain is not None:
        outside = "" if found.outside is None else f"; RMSE {found.outside:.4g} on the others"
        inside = "" if found.inside is None else f", RMSE {found.inside:.4g} there"
        lines.append(f"{100 * found.in_domain:.3g} % of the rows are such as were declared{inside}{outside}")
    moved = [each for each in found.drift if each.shift is not None][:SHOWN]
    for each in moved:
        lines.append(
            f"{each.feature}: mean {each.shift:+.2f} declared standard deviations away, {each.spread:.2f} times as spread"
        )
    lines.append(
        "Who compares several students by such figures makes this table a selection set: measure the chosen one on other rows."
    )
    return lines
