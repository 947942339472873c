"""``export``: write a student as a file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfkd_tune.cli.options import ARCHITECTURE, NAME, TRACKING, TRUST, export_format, share

if TYPE_CHECKING:
    from dfkd_tune.errors import DfkdError
    from dfkd_tune.training.problem import Problem
    from dfkd_tune.training.raw_evaluation import ExportedStudent, RawEvaluator


@click.command(short_help="Write a student as a file, in raw units.")
@NAME
@click.option("--trial", type=click.IntRange(min=0), help="Number of the trial; default: the best trial.")
@click.option(
    "--format",
    "kind",
    type=export_format,
    metavar="FORMAT",
    default="pt2",
    show_default=True,
    help="pt2, onnx, safetensors, or a format of an installed plug-in.",
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
@click.option("--teacher", help="Current path of the teacher.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Current path of the features file.")
@TRACKING
@TRUST
def export(
    name: str,
    trial: int | None,
    kind: str,
    out: str,
    precision: str,
    within: float,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    tracking_uri: str | None,
    trust_pickle: bool,
) -> None:
    """Write the student of a trial of study NAME as a file. Its inputs and outputs are in the teacher's raw units."""
    from dfkd_tune.errors import NotFound, StudyMismatch, TeacherError
    from dfkd_tune.export import export
    from dfkd_tune.export.formats.kinds import EXPORTS
    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.locations import paths
    from dfkd_tune.locations.files import write_output
    from dfkd_tune.registry import certificates, register
    from dfkd_tune.registry.sources import Sources
    from dfkd_tune.registry.stored_student import load_trial
    from dfkd_tune.search.ranking import recipe_name
    from dfkd_tune.tracking import run_lookup
    from dfkd_tune.tracking.connection import reaching
    from dfkd_tune.training import raw_evaluation

    form = EXPORTS[kind]
    if precision != "float32" and not form.holds_graph:
        raise click.UsageError(f"--precision {precision} is not for {kind}, which holds weights alone")
    file, uri = Path(out), paths.tracking_url(tracking_uri)
    with reaching(uri):
        student, result, run = load_trial(uri, name, trial)
    layout = None if form.holds_graph else _layout(uri, run.info.run_id, file, kind)
    whole, units, number = student, InputSchema.of(result), run_lookup.trial_of(run)
    sources, recorded = Sources(teacher, architecture, features, trust_pickle), result["rmse"]
    problem: Problem | None = None
    measure: Callable[[ExportedStudent], tuple[float, int]] | None = None
    unknown: DfkdError | None = None
    if precision != "float32":
        from dfkd_tune.export.quantization import quantize

        with reaching(uri):
            problem = register.problem_of(uri, name, run, sources)

        measure = partial(raw_evaluation.fresh_rmse, problem.evaluator)
        student, before, after = quantize(problem.evaluator.rmse, student, units, precision, within)
        click.echo(f"{precision}: RMSE {after:.4g} on the selection bank, {before:.4g} in float32")
    else:
        try:
            with reaching(uri):
                held = register.evaluator_of(uri, name, run, sources)
        except (NotFound, TeacherError, StudyMismatch) as error:
            unknown = error
        else:
            measure = partial(_agreeing, held, file, recorded)

    worst, found = export.export(student, units, kind, file, measure)
    if problem is not None:
        about = {"study": name, "trial": number, "run_id": run.info.run_id, "precision": precision}
        copy = export.read_flat(form, file.read_bytes(), student, units)
        certificates.beside(file, problem, units.student(copy, int(result["parameters"])), about)
        with tempfile.TemporaryDirectory() as folder:
            export.export(whole, units, kind, Path(folder, file.name))
            usual = Path(folder, file.name).stat().st_size
        if (size := file.stat().st_size) >= usual:
            click.echo(
                f"dfkd-tune: warning: {out}: {precision} takes {size:,} bytes, float32 takes {usual:,} for a student this "
                "small; leave --precision out",
                err=True,
            )
    if layout is not None:
        write_output(file.with_suffix(".yaml"), layout)
    measured = f"RMSE {recorded:.4g} in training"
    if found is not None:
        measured = f"RMSE {found[0]:.4g} of the file as it was reloaded, on {found[1]:,} fresh rows"
    click.echo(
        f"wrote {out}: {recipe_name(number)}, {measured}; on {len(units.rows)} example rows its outputs "
        f"differ from the written network's by at most {worst:.2g}"
    )
    if unknown is not None:
        click.echo(f"the file was not compared with the teacher: {unknown}", err=True)


def _agreeing(evaluator: RawEvaluator, file: Path, recorded: float, exported: ExportedStudent) -> tuple[float, int]:
    """RMSE on fresh rows and their number; raises if the student's RMSE differs from the one recorded in training."""
    from dfkd_tune.training import raw_evaluation

    theirs, ours = evaluator.held(exported)
    found = float((ours - theirs).square().mean().sqrt())
    step = raw_evaluation.rounding(evaluator.inputs, theirs)
    raw_evaluation.agree(file, found, recorded, float(theirs.std(0).square().mean().sqrt()), step)
    return raw_evaluation.fresh_rmse(evaluator, exported)


def _layout(uri: str, run_id: str, file: Path, kind: str) -> bytes:
    """The content of a student's architecture file, which a file with only weights needs.

    Raises:
        ExportError: the run has no architecture file.
    """
    from dfkd_tune.errors import ExportError
    from dfkd_tune.tracking import run_lookup
    from dfkd_tune.tracking.connection import reaching

    with reaching(uri), run_lookup.fetch(uri, run_id) as folder:
        if (layout := folder / "architecture.yaml").exists():
            return layout.read_bytes()
    rule = f"would hold weights alone ({kind}), and no architecture file describes this student"
    raise ExportError(file, rule, remedy="take --format pt2 or onnx")
