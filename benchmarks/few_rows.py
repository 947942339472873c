"""What keeps a student from learning few rows by heart: recipes on so many answered rows, RMSE on real test inputs.

    python benchmarks/few_rows.py --shared ../shared --cache ~/.cache/dfkd-teachers

Every recipe trains on the same prior rows of a black box, without those that are held out of it, and is the default of a study with a
total, without an assistant, but for what its row says. A study chooses among such recipes; nothing is chosen here. Nothing is known of
the inputs (tier T0).
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import figures
import torch
from queries import Case, case_of
from resumable import measure_each
from rich.console import Console
from rich.table import Table

from dfkd_tune.recipes.assistants import NoAssistant, Wider
from dfkd_tune.recipes.checkpoints import Last
from dfkd_tune.recipes.losses import Sobolev
from dfkd_tune.recipes.optimizers import AdamW
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.defaults import FEW_ROWS
from dfkd_tune.study.prepare import prepare
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem
from dfkd_tune.training.banks import Pool
from dfkd_tune.training.distill import distill, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem

CELLS = ["trees, compactiv, 1000", "ReLU, pole, 5000", "GRU, weather, 4000"]
"""Teachers by kind and data, and the rows that each has answered."""
STRESS_SHARE = 10
"""One in so many rows stands for those with undeclared tails."""
REPORT_ROWS = 50
WAYS = {
    "best weights": {},
    "last weights": {"checkpoint": Last()},
    "best weights, neither decay nor average": {"optimizer.decay": 0.0, "optimizer.averaging": 0.0},
    "last weights, a tenth of the decay": {"optimizer.decay": 0.1, "checkpoint": Last()},
    "best weights, two assistants of twice the width": {"assistant": Wider()},
    "best weights, an assistant of four times the width": {"assistant": Wider(times=4, members=1)},
}
"""Recipe in words -> how it differs from the default; ``optimizer.decay`` is a share of its weight decay."""
SLOPES = "slopes by finite differences, on fewer rows"
"""The default with a Sobolev loss, on as many rows as the same answers pay for: the slopes of one take 2 D answers more."""
SLOPE_WEIGHT, STOPPING_ROWS = 0.3, 200


def problem_of(case: Case, rows: int, args: argparse.Namespace, seed: int) -> tuple[AnsweredProblem, Any]:
    """The setting of a study that has got ``rows`` answers, and the widest student that fits."""
    prepared = prepare(case.spec("few", args, seed), teacher=case.teacher(False))
    asked = Problem(prepared.teacher, prepared.inputs, prepared.probe, seed=seed, pool_rows=rows, bank_rows=REPORT_ROWS)
    parts = [
        (asked.inputs.raw(part.z.double()), part.values.double() * asked.spread + asked.shift)
        for part in (asked.banks["report"], asked.pool)
    ]
    (x, y), stress = parts[1], rows // STRESS_SHARE
    answered = Answered(parts[0], (x[stress:], y[stress:]), (x[:stress], y[:stress]))
    problem = AnsweredProblem(prepared.teacher, prepared.inputs, prepared.probe, answered, seed=seed)
    problem.trained_folds = 1
    return problem, prepared.space.preset.student


def measured(case: Case, rows: int, args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Real RMSE by recipe; all recipes train together."""
    problem, student = problem_of(case, rows, args, seed)
    plain = replace(FEW_ROWS.recipe(problem.inputs), assistant=NoAssistant(), student=student, steps=args.steps)
    recipes = {name: changed(plain, **own) for name, own in WAYS.items()}
    outcomes = distill_all(problem, [Member(name, recipe, seed) for name, recipe in recipes.items()])
    found = {
        name: case.real(problem.module(each.recipe.student, each.weights))
        for name, each in zip(recipes, outcomes, strict=True)
    }
    return found | {SLOPES: sloped(case, rows, args, seed)}


def changed(recipe: Recipe, **own: Any) -> Recipe:
    """The recipe with what a value of ``WAYS`` says."""
    optimizer = recipe.optimizer
    assert isinstance(optimizer, AdamW)
    decay, averaging = own.pop("optimizer.decay", 1.0), own.pop("optimizer.averaging", optimizer.averaging)
    optimizer = replace(optimizer, weight_decay=decay * optimizer.weight_decay, averaging=averaging)
    return replace(recipe, optimizer=optimizer, **own)


def sloped(case: Case, rows: int, args: argparse.Namespace, seed: int) -> float:
    """Real RMSE with slopes by finite differences; its early stopping has further rows."""
    prepared = prepare(case.spec("few", args, seed), teacher=case.teacher(False))
    of_teacher = (prepared.teacher, prepared.inputs, prepared.probe)
    with_slopes = max(1, rows // (2 * prepared.probe.features + 1))
    problem = Problem(*of_teacher, seed=seed, pool_rows=with_slopes, bank_rows=STOPPING_ROWS)
    problem.pool = Pool(problem.pool.z, *problem.labels(problem.pool.z))
    recipe = replace(FEW_ROWS.recipe(prepared.inputs), assistant=NoAssistant(), loss=Sobolev(SLOPE_WEIGHT))
    recipe = replace(recipe, student=prepared.space.preset.student, steps=args.steps)
    outcome = distill(problem, recipe, seed)
    return case.real(problem.module(recipe.student, outcome.weights))


def table_of(found: Mapping[str, dict[str, float]], args: argparse.Namespace) -> dict[str, list[float]]:
    """Recipe -> mean RMSE over the seeds, by teacher and number of rows."""
    return {
        recipe: [statistics.mean(found[f"{cell}, {seed}"][recipe] for seed in args.seeds) for cell in args.cells]
        for recipe in (*WAYS, SLOPES)
    }


def entries(found: Mapping[str, dict[str, float]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes."""
    return {"few_rows": figures.Measured(args.seeds, f"{args.steps:,} steps a student", table_of(found, args))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the trained teachers")
    parser.add_argument("--cells", nargs="+", default=CELLS, metavar="'KIND, DATA, ROWS'")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the teachers, the rows and the students")
    parser.add_argument("--json", type=Path, help="also write the figures here; cells in it are not measured again")
    figures.add_option(parser)
    args = parser.parse_args()
    args.trials = 1
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)

    def measure(cell: tuple[int, str]) -> dict[str, float]:
        seed, (name, _, rows) = cell[0], cell[1].rpartition(", ")
        return measured(case_of(name, args, seed), int(rows), args, seed)

    found = measure_each(product(args.seeds, args.cells), lambda cell: f"{cell[1]}, {cell[0]}", measure, args.json)
    table = Table("recipe", *args.cells, title="RMSE on real test inputs by answered rows")
    for recipe, values in table_of(found, args).items():
        table.add_row(recipe, *(f"{value:.3f}" for value in values))
    Console(width=150).print(table)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
