"""``distill``: distill one student without a study, or repeat a run of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkd_tune.cli.options import ARCHITECTURE, DEVICE, TRACKING, TRUST
from dfkd_tune.errors import ExportError

if TYPE_CHECKING:
    from dfkd_tune.recipes.recipe import Recipe
    from dfkd_tune.training.member import Member
    from dfkd_tune.training.problem import Problem
    from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured


@click.command(short_help="Distill one student without a study.")
@click.option("--teacher", help="Model file or package.module:function; with --run, its current path.")
@ARCHITECTURE
@click.option("--preset", help="Named recipe; default: the preset that a study of this kind of teacher uses.")
@click.option("--recipe", "recipe_file", type=click.Path(), help="Recipe file.")
@click.option("--run", "run_id", help="ID of an MLflow run of a study to repeat.")
@click.option("--features", type=click.Path(), help="Features file; with --run, its current path.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed; default: 0.")
@click.option("--out", required=True, type=click.Path(), help="Directory for the student's files.")
@DEVICE
@TRACKING
@TRUST
def distill(
    teacher: str | None,
    architecture: str | None,
    preset: str | None,
    recipe_file: str | None,
    run_id: str | None,
    features: str | None,
    seed: int | None,
    out: str,
    device: str,
    tracking_uri: str | None,
    trust_pickle: bool,
) -> None:
    """Distill one student without a study.

    Writes student.pt2, student.safetensors, architecture.yaml, recipe.yaml, result.json and sha256.json.
    """
    if sum(choice is not None for choice in (preset, recipe_file, run_id)) > 1:
        raise click.UsageError("--preset, --recipe and --run exclude each other")
    if run_id is not None and seed is not None:
        raise click.UsageError("--seed and --run exclude each other: a run has its own")
    if run_id is None and teacher is None:
        raise click.UsageError("--teacher is missing")
    from dfkd_tune.registry.sources import Sources

    sources = Sources(teacher, architecture, features, trust_pickle)
    sources.require()
    from dfkd_tune.export import export, student_files  # seconds, for which a refusal does not wait
    from dfkd_tune.export.schema import InputSchema
    from dfkd_tune.locations import paths
    from dfkd_tune.locations.files import require_folder, write_output
    from dfkd_tune.training.distill import distill as run_distillation
    from dfkd_tune.training.raw_evaluation import shipped
    from dfkd_tune.utils import hardware

    inputs = (teacher, architecture, features, recipe_file)
    require_folder(Path(out), inputs, student_files.NAMES)
    again = None
    if run_id is not None:
        from dfkd_tune.study import replay

        again = replay.load_replay(paths.tracking_url(tracking_uri), run_id, sources, device)
        problem, recipe, member_seed = again.problem, again.recipe, again.seed
    else:
        given = (teacher, architecture, features, preset, recipe_file, seed, trust_pickle, device)
        problem, recipe, member_seed = _problem(*given)
    folder = paths.writable(Path(out))

    def rung(member: Member) -> None:
        click.echo(f"step {member.clock}/{recipe.steps}: RMSE {member.curve[-1][1]:.4g} on the pruning bank")

    with hardware.threads(1):  # the same student on any number of cores
        outcome = run_distillation(problem, recipe, member_seed, rung)
    if outcome.failure or outcome.selection is None:
        raise ExportError(folder, f"no student: {outcome.failure}", remedy="lower optimizer.lr")
    trained = outcome.selection.by_output
    about: dict[str, Any] = {"teacher": Path(problem.teacher.source).name}
    if again is not None:
        about["replay"] = again.compare(outcome)
    files = student_files.student_files(problem, outcome, about)
    for name, data in files.items():
        write_output(folder / Path(name).name, data)
    module, result = student_files.read_student(folder)

    def measure(exported: ExportedStudent) -> Measured:
        return shipped(folder, problem.evaluator, exported, trained)

    _, found = export.export(module, InputSchema.of(result), "pt2", folder / "student.pt2", measure)
    written = {Path(name).name for name in files} - {student_files.HASHES} | {"student.pt2"}
    write_output(
        folder / student_files.HASHES, student_files.hashes({n: (folder / n).read_bytes() for n in sorted(written)})
    )
    click.echo(
        f"wrote {folder}: RMSE {found.rmse:.4g} of student.pt2 as it was reloaded, {found.share}, on {found.rows:,} fresh rows, {outcome.parameters:,} parameters, "
        f"tier {problem.inputs.tier}, {outcome.seconds:.1f} s"
    )
    if found.outputs is not None:
        click.echo(f"by output: {found.outputs}")
    if again is not None:
        click.echo(_said(about["replay"]))


def _problem(
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    preset: str | None,
    recipe_file: str | None,
    seed: int | None,
    trust_pickle: bool,
    device: str,
) -> tuple[Problem, Recipe, int]:
    """Problem, recipe and member seed of a single distillation."""
    from dfkd_tune.errors import SpecError
    from dfkd_tune.recipes.presets import PRESETS
    from dfkd_tune.recipes.recipe import from_tree
    from dfkd_tune.search.space.search_space import make_space
    from dfkd_tune.search.study_file import parse_spec
    from dfkd_tune.study.agreement.settings import require_no_committee
    from dfkd_tune.study.prepare import prepare
    from dfkd_tune.utils import yaml_io
    from dfkd_tune.utils.seeding import derive

    if preset is not None and preset not in PRESETS:
        raise SpecError("--preset", f"unknown preset {preset!r}", remedy=f"known: {', '.join(PRESETS)}")
    tree: dict[str, Any] = {"teacher": {"path": teacher} | ({"architecture": architecture} if architecture else {})}
    tree |= {"features": features} if features else {}
    tree |= {"study": {"seed": seed}} if seed is not None else {}
    recipe = None if preset is None else PRESETS[preset]
    if recipe_file:
        recipe = from_tree(yaml_io.read(Path(recipe_file), SpecError), recipe_file)
        require_no_committee(recipe.assistant, f"{recipe_file}: assistant.kind")
    prepared = prepare(parse_spec(tree | {"search": {}}, "distill"), trust_pickle, device)
    found = prepared.probe
    recipe = recipe or prepared.space.preset  # what a study's unsearched leaves come from
    place = recipe_file or f"--preset {preset}"
    size, answers, moments = prepared.size, found.differentiable, found.normalizes
    make_space(recipe, {}, size, None, place, differentiable=answers, normalizes=moments)  # raises as for a study
    return prepared.problem(), recipe, derive(prepared.spec.study.seed, "baseline")


def _said(compared: dict[str, Any]) -> str:
    """One line that compares a replay with the recorded run."""
    if "differs" not in compared:
        return f"run {compared['run']} recorded nothing to compare with"
    within = "within" if compared["differs"] <= compared["tolerance"] else "NOT within"
    return (
        f"run {compared['run']} recorded {compared['recorded_rmse']:.4g}: differs by {compared['differs']:.2g} of it, "
        f"{within} the tolerance of {compared['tolerance']:g}"
    )
