"""``export``: a student as a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from .options import ARCHITECTURE, NAME, SHARE, TRACKING, TRUST


@click.command(short_help="A student as a file, in raw units.")
@NAME
@click.option("--trial", type=click.IntRange(min=0), help="Trial; default the best.")
@click.option("--format", "kind", type=click.Choice(["pt2", "onnx", "safetensors"]), default="pt2", show_default=True)
@click.option("--out", required=True, type=click.Path(), help="File to write.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "int8"]),
    default="float32",
    show_default=True,
    help="Of the weights; the file gets a certificate of its own beside it.",
)
@click.option(
    "--within", type=SHARE, default="5%", show_default=True, help="By how much RMSE may grow for --precision."
)
@click.option("--teacher", help="Where the teacher is now, for --precision.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Where the features file is now, for --precision.")
@TRACKING
@TRUST
def export(
    name, trial, kind, out, precision, within, teacher, architecture, features, tracking_uri, trust_pickle
) -> None:
    """Write a trial's student as a file; it takes and gives the teacher's raw units."""
    if precision != "float32" and kind == "safetensors":
        raise click.UsageError(f"--precision {precision} is for pt2 and onnx")
    from .. import exporting, issuing, places, registry, shipping
    from ..promotion import recipe_name

    file, uri = Path(out), places.tracking_url(tracking_uri)
    student, result, run = registry.load_trial(uri, name, trial)
    whole, units, rmse, number = student, exporting.Units.of(result), result["rmse"], registry.trial_of(run)
    if precision != "float32":
        from ..precision import pack

        problem = registry.problem_of(uri, name, run, issuing.Sources(teacher, architecture, features, trust_pickle))
        student, before, rmse = pack(problem, student, units, precision, within)
        click.echo(f"{precision}: RMSE {rmse:.4g} on the selection bank, {before:.4g} in float32")
    worst = exporting.export(student, units, kind, file)
    if precision != "float32":
        about = {"study": name, "trial": number, "run_id": run.info.run_id, "precision": precision}
        issuing.beside(file, problem, student, about)
        with tempfile.TemporaryDirectory() as folder:
            exporting.export(whole, units, kind, Path(folder, file.name))
            usual = Path(folder, file.name).stat().st_size
        if (size := file.stat().st_size) >= usual:
            click.echo(
                f"dfkd-tune: warning: {out}: {precision} takes {size:,} bytes, float32 takes {usual:,} for a student this "
                "small; leave --precision out",
                err=True,
            )
    if kind == "safetensors":
        with registry.fetch(uri, run.info.run_id) as folder:
            if (layout := folder / "architecture.yaml").exists():
                shipping.write(file.with_suffix(".yaml"), layout.read_bytes())
    click.echo(
        f"wrote {out}: {recipe_name(number)}, RMSE {rmse:.4g}; its answers differ from the student's by at most {worst:.2g}"
    )
