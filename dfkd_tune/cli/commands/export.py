"""``export``: write a student as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkd_tune.cli.options import NAME, TRACKING, current_files, export_format, share
from dfkd_tune.errors import NotFound, StudyMismatch, TeacherError
from dfkd_tune.registry.sources import Sources

if TYPE_CHECKING:
    from dfkd_tune.registry.exports.student_export import StudentExport, Written, WrittenSmall


@click.command(short_help="Write a student as a file, in raw units.")
@NAME
@click.option("--trial", type=click.IntRange(min=0), help="Number of the trial; default: the promoted student.")
@click.option(
    "--format",
    "kind",
    type=export_format,
    metavar="FORMAT",
    help="pt2, onnx, safetensors, c, numpy, executorch, litert, or a format of an installed plug-in; default: the suffix of --out.",
)
@click.option("--out", required=True, type=click.Path(), help="File to write.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "int8"]),
    default="float32",
    show_default=True,
    help="Precision of the weights. Below float32, a new certificate is written beside the file.",
)
@click.option(
    "--within",
    type=share,
    default="5%",
    show_default=True,
    help="Largest increase of RMSE that --precision may cause.",
)
@click.option("--no-libm", is_flag=True, help="For c: approximate tanh and exp within the file, to the stated error.")
@click.option("--guard", is_flag=True, help="For c: a function that says whether a row is one of the declared inputs.")
@current_files
@TRACKING
def export(
    name: str,
    trial: int | None,
    kind: str | None,
    out: str,
    precision: str,
    within: float,
    no_libm: bool,
    guard: bool,
    sources: Sources,
    tracking_uri: str | None,
) -> None:
    """Write the student of a trial of study NAME as a file. Its inputs and outputs are in the teacher's raw units."""
    from dfkd_tune.export.formats.kinds import EXPORTS, chosen, format_of
    from dfkd_tune.locations.files import require_place
    from dfkd_tune.locations.paths import tracking_url

    file, uri = Path(out), tracking_url(tracking_uri)
    form = format_of(file, kind)
    require_place(file)
    chosen(form, not no_libm, guard)  # refuses what is for other formats
    if precision not in (held := EXPORTS[form].precisions):
        raise click.UsageError(f"--precision {precision} is not for {form}, whose weights are {' or '.join(held)}")
    from dfkd_tune.registry import register
    from dfkd_tune.registry.stored_student import load_trial
    from dfkd_tune.tracking.connection import reaching

    with reaching(uri):
        found = load_trial(uri, name, trial)
        from dfkd_tune.registry.exports.student_export import (
            StudentExport,
        )  # seconds, for which a refusal does not wait

        writing = StudentExport(uri, name, *found, form, file, not no_libm, guard)
        _tell_short(writing)
        if precision != "float32":
            problem = register.problem_of(uri, name, writing.run, sources)
            return _tell_small(writing, precision, writing.write_small(problem, precision, within))
        try:
            evaluator, missing = register.evaluator_of(uri, name, writing.run, sources), None
        except (NotFound, TeacherError, StudyMismatch) as error:
            evaluator, missing = None, error
        _tell(writing, writing.write(evaluator))
    if missing is not None:
        click.echo(f"the file was not compared with the teacher: {missing}", err=True)


def _tell_short(writing: StudentExport) -> None:
    """Say so if the student trained fewer steps than those that studies promote."""
    from dfkd_tune.reporting.summary_text import short_student
    from dfkd_tune.search.ranking import recipe_name
    from dfkd_tune.tracking.connection import open_client
    from dfkd_tune.tracking.run_lookup import parent_of, shortened, trial_of

    run, client = writing.run, open_client(writing.uri)
    if (found := shortened(run, parent_of(client, run.info.experiment_id))) is not None:
        click.echo(f"{recipe_name(trial_of(run))}: {short_student(found)}")


def _tell(writing: StudentExport, written: Written) -> None:
    """Say what was written, and how exact it is."""
    from dfkd_tune.search.ranking import recipe_name
    from dfkd_tune.tracking.run_lookup import trial_of

    measured, found = f"RMSE {written.recorded:.4g} on the selection bank, in training", written.found
    if found is not None:
        measured = f"RMSE {found.rmse:.4g} of the file as it was reloaded, {found.share}, on {found.rows:,} fresh rows"
    told = f"wrote {writing.file}: {recipe_name(trial_of(writing.run))}, {measured}"
    for machine, bytes_there in written.footprint.items():
        click.echo(f"{machine}: {bytes_there}, without the library's functions")
    if written.worst is None:
        return click.echo(f"{told}; it was not compared with the student: {written.unread}")
    click.echo(
        f"{told}; on {written.examples:,} rows its outputs differ from the written network's by at most {written.worst:.2g}"
    )
    if found is not None and found.outputs is not None:
        click.echo(f"by output: {found.outputs}")


def _tell_small(writing: StudentExport, precision: str, written: WrittenSmall) -> None:
    """The same of quantized weights."""
    of = ", of the output that changes most" if written.before.outputs else ""
    told = f"{precision}: RMSE {written.after} on the selection bank; {written.before} in float32"
    click.echo(f"{told}; {100 * written.added:+.2g} %{of}")
    for what, (size, usual) in written.sizes.items():
        if size >= usual:
            click.echo(
                f"dfkd-tune: warning: {what}: {precision} takes {size:,} bytes, float32 takes {usual:,} "
                "for a student this small; leave --precision out",
                err=True,
            )
    _tell(writing, written)
