"""``export``: a student as a file."""

from __future__ import annotations

from pathlib import Path

import click

from .options import TRACKING


@click.command()
@click.argument("name")
@click.option("--trial", type=click.IntRange(min=0), help="Trial; default the best.")
@click.option("--format", "kind", type=click.Choice(["pt2", "safetensors"]), default="pt2", show_default=True)
@click.option("--out", required=True, type=click.Path(), help="File to write.")
@TRACKING
def export(name, trial, kind, out, tracking_uri) -> None:
    """Write a trial's student as a file; it takes and gives the teacher's raw units."""
    from .. import places, registry, shipping

    student, result, run = registry.load_trial(places.tracking_url(tracking_uri), name, trial)
    shipping.export(student, len(result["features"]), kind, Path(out))
    if kind == "safetensors":
        with registry.fetch(places.tracking_url(tracking_uri), run.info.run_id) as folder:
            if (layout := folder / "architecture.yaml").exists():
                shipping.write(Path(out).with_suffix(".yaml"), layout.read_bytes())
    click.echo(f"wrote {out}: trial {run.data.params['trial']}, RMSE {result['rmse']:.4g}")
