"""``distill``: one student without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import ExportError
from .options import ARCHITECTURE, DEVICE, TRACKING, TRUST


@click.command(short_help="One student without a study.")
@click.option("--teacher", required=True, help="Model file or package.module:function.")
@ARCHITECTURE
@click.option("--preset", help="Named recipe; default paper.")
@click.option("--recipe", "recipe_file", type=click.Path(), help="Recipe file.")
@click.option("--run", "run_id", help="MLflow run whose recipe and seed are replayed.")
@click.option("--features", type=click.Path(), help="Features file.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything; default 0.")
@click.option("--out", required=True, type=click.Path(), help="Directory for the student's files.")
@DEVICE
@TRACKING
@TRUST
def distill(
    teacher, architecture, preset, recipe_file, run_id, features, seed, out, device, tracking_uri, trust_pickle
) -> None:
    """Distill one student: student.pt2, student.safetensors, architecture.yaml, recipe.yaml, result.json, sha256.json."""
    if sum(choice is not None for choice in (preset, recipe_file, run_id)) > 1:
        raise click.UsageError("--preset, --recipe and --run exclude each other")
    from .. import exporting, places, shipping
    from ..distillation import distill as run_distillation
    from ..prepared import prepare
    from ..seeds import derive
    from ..spec import parse_spec

    tree: dict[str, Any] = {"teacher": {"path": teacher} | ({"architecture": architecture} if architecture else {})}
    if features:
        tree["features"] = features
    recipe, member_seed, pool = _recipe(preset, recipe_file, run_id, tracking_uri, tree)
    tree["study"] = tree.get("study", {}) | ({"seed": seed} if seed is not None else {})
    prepared = prepare(parse_spec(tree | {"search": {}}, "distill"), trust_pickle, device)
    folder = places.writable(Path(out))
    problem = prepared.problem(pool)
    member_seed = derive(prepared.spec.study.seed, "baseline") if member_seed is None else member_seed

    def rung(member) -> None:
        click.echo(f"step {member.clock}/{recipe.steps}: RMSE {member.curve[-1][1]:.4g} on the pruning bank")

    outcome = run_distillation(problem, recipe, member_seed, rung)
    if outcome.failure:
        raise ExportError(folder, f"no student: {outcome.failure}", remedy="lower optimizer.lr")
    files = shipping.student_files(problem, outcome, {"teacher": Path(teacher).name})
    for name, data in files.items():
        shipping.write(folder / Path(name).name, data)
    module, result = shipping.read_student(folder)
    exporting.export(module, exporting.Units.of(result), "pt2", folder / "student.pt2")
    written = {Path(name).name for name in files} - {shipping.HASHES} | {"student.pt2"}
    shipping.write(folder / shipping.HASHES, shipping.hashes({n: (folder / n).read_bytes() for n in sorted(written)}))
    click.echo(
        f"wrote {folder}: RMSE {outcome.selection.rmse:.4g} on the selection bank, {outcome.parameters:,} parameters, "
        f"tier {problem.inputs.tier}, {outcome.seconds:.1f} s"
    )


def _recipe(preset, recipe_file, run_id, tracking_uri, tree):
    """Recipe, member seed and pool size of a single distillation; ``tree`` gets the study's seed and bank on a replay."""
    import json

    from .. import places, registry, stores, yamls
    from ..errors import NotFound, SpecError
    from ..recipe import PRESETS, from_tree

    if run_id is not None:
        uri = places.existing(places.tracking_url(tracking_uri), f"run {run_id}")
        stores.preflight(uri)
        with registry.fetch(uri, run_id) as folder:
            result = json.loads((folder / "result.json").read_text())
            recipe = from_tree(yamls.read(folder / "recipe.yaml", SpecError), f"run {run_id}")
        made = stores.client(uri)
        above = made.get_run(run_id).data.tags.get("mlflow.parentRunId")
        parent = made.get_run(above).data.params if above else {}
        if not parent.keys() >= {"seed", "bank", "pool"}:
            raise NotFound(f"run {run_id}", "is no trial of a study", remedy="its recipe.yaml goes with --recipe")
        tree["study"] = {"seed": int(parent["seed"])}
        tree["budget"] = {"bank": int(parent["bank"])}
        return recipe, result["seed"], int(parent["pool"])
    if recipe_file is not None:
        return from_tree(yamls.read(Path(recipe_file), SpecError), recipe_file), None, None
    if (preset or "paper") not in PRESETS:
        raise SpecError("--preset", f"unknown preset {preset!r}", remedy=f"known: {', '.join(PRESETS)}")
    return PRESETS[preset or "paper"], None, None
