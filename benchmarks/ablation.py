"""What each idea of the preset ``faithful`` brings: one out at a time, further ones in, and the floor that capacity sets.

    python benchmarks/ablation.py --shared ../shared --seeds 0 1 2

RMSE student-vs-teacher on real test inputs over the published ``direct_decreasing``, student 50, tier T0, every variant at
the same budget. The *floor* is the preset distilled on real training inputs: what a student of this shape can be. Real rows
choose nothing else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Sheet
from tables import SHARED, Table, declared, load, shared_split, shared_teacher

from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.gap_bounds import Clip, Target
from dfkd_tune.recipes.initializers import Neurons, Random
from dfkd_tune.recipes.input_bounds import Linf, Steps
from dfkd_tune.recipes.losses import MSE, Sobolev
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.optimizers import RMSprop
from dfkd_tune.recipes.presets import FAITHFUL, PAPER, RANDOM, SHALLOW
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.recipes.refiners import NoRefiner
from dfkd_tune.students.base import Student
from dfkd_tune.students.shrinking import shrunk
from dfkd_tune.tables.describe import TIERS
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import Outcome, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

FLOOR = "floor: the same on real inputs"
SKEWED = "skewed rows, Sobolev weight 0.3"
FLOOR_SKEWED = f"floor: {SKEWED}, on real inputs"
F = FAITHFUL
PRIOR = {"generator": GENERATORS["gaussian"](), "alpha": Constant(0.0), "refiner": replace(F.refiner, synthetic=0.0)}
"""No rows but the prior's."""
SOUGHT = {
    "bound clip 0.1": {"bound": Clip(threshold=0.1)},
    "bound target 0.1": {"bound": Target(threshold=0.1)},
    "radius 0.1": {"input_bound": Linf(radius=0.1)},
    "radius 1": {"input_bound": Linf(radius=1.0)},
    "no input bound": {"input_bound": Steps()},
    "no synthetic rows": PRIOR,
}
"""What is sought and how far, around ``direct`` within 0.3 standard deviations and no bound of the gap."""
OTHERS = [
    (name, preset, kind)
    for name, preset in (("faithful", F), ("paper", PAPER))
    for kind in ("disagreement", "pairwise_coverage")
]
"""Generators after recent methods, in place of ``direct``."""
VALUE = replace(F, loss=MSE())
SKEWED_LIGHT = replace(
    F, loss=Sobolev(weight=0.3), generator=GENERATORS["skewed"](), refiner=replace(F.refiner, synthetic=0.5)
)
STAGES = {"wide first": (4.0, 2.0, 1.4, 1.0), "shallow, wide first": (4.0, 2.0, 1.4, 1.0)}
"""Variant -> widths of its stages over the student's; each has an equal share of the steps and a schedule of its own."""
VARIANTS: dict[str, Recipe] = {
    "paper": PAPER,
    "faithful": F,
    "without Sobolev loss": VALUE,
    "without neuron start": replace(F, initializer=Random()),
    "without surplus": replace(F, initializer=Neurons()),
    "without L-BFGS finish": replace(F, refiner=NoRefiner(), optimizer=RMSprop(schedule="cosine")),
    "Sobolev weight 0.3": replace(F, loss=Sobolev(weight=0.3)),
    "Sobolev weight 4": replace(F, loss=Sobolev(weight=4.0)),
    "half more neurons, pruned": replace(F, initializer=Neurons(surplus=0.5)),
    "two banks of 8,000 rows": replace(F, refiner=replace(F.refiner, rows=8_000, rounds=2)),
    "heavy-tailed rows": replace(
        F, generator=GENERATORS["heavy_tailed"](spread=0.5), refiner=replace(F.refiner, synthetic=0.4)
    ),
    "skewed rows": replace(F, generator=GENERATORS["skewed"](), refiner=replace(F.refiner, synthetic=0.5)),
    SKEWED: SKEWED_LIGHT,
    "wide first": SKEWED_LIGHT,
    "shallow": SHALLOW,
    "shallow, wide first": SHALLOW,
    "Sobolev weight 0.03": replace(SKEWED_LIGHT, loss=Sobolev(weight=0.03)),
    "skewed like deep teachers": replace(SKEWED_LIGHT, generator=GENERATORS["skewed"](spread=1.0, shared=0.3)),
    "two layers": F.with_student(depth=2),
    "random": RANDOM,
    **{f"{kind} in {name}": replace(preset, generator=GENERATORS[kind]()) for name, preset, kind in OTHERS},
    **{name: replace(F, **changes) for name, changes in SOUGHT.items()},
    **{f"value loss, {name}": replace(VALUE, **changes) for name, changes in SOUGHT.items()},
    FLOOR: F,
    FLOOR_SKEWED: SKEWED_LIGHT,
}


class RealInputs(Inputs):
    """Rows of a table in place of a prior: for the floor alone."""

    def __init__(self, rows: np.ndarray):
        super().__init__(Inputs.unknown(rows.shape[1]).features)
        self.rows = torch.from_numpy(rows).double()

    def draw(self, rows: int, rng: torch.Generator) -> torch.Tensor:
        return self.rows[torch.randint(len(self.rows), (rows,), generator=rng)]


def sized(recipe: Recipe, problem: Problem, width: int) -> Recipe:
    """The recipe for the widest student with the parameters of one hidden layer of ``width``."""
    limit = width * (problem.features + problem.outputs + 1) + problem.outputs
    return recipe.with_student(width=recipe.student.widest(problem.columns, problem.outputs, limit))


PRUNED_ROWS = 8_192
"""Pool rows on which students are pruned between stages."""


def in_stages(problem: Problem, recipe: Recipe, factors: Sequence[float], seeds: Sequence[int]) -> list[Outcome]:
    """Distill students of one recipe, wider ones first, each pruned to the width of the next stage and trained on.

    Args:
        problem: teacher, prior and banks.
        recipe: recipe of the students, whose steps all stages share.
        factors: widths of the stages over that of the recipe's student; the last one is 1.
        seeds: seeds of the students.
    """
    before: Student | None = None
    outcomes: list[Outcome] = []
    z, values = problem.encoder.rows(problem.pool.z[:PRUNED_ROWS]), problem.pool.values[:PRUNED_ROWS]
    for stage, factor in enumerate(factors):
        student = recipe.student.with_width(round(factor * recipe.student.width))
        given = (student, z, values, problem.columns, recipe.loss.gradient_weight, problem.matched)
        starts = [None if before is None else shrunk(before, outcome.weights, *given) for outcome in outcomes]
        part, before = replace(recipe, student=student, steps=recipe.steps // len(factors)), student
        keys = [derive(seed, "ablation", *([stage] if stage else [])) for seed in seeds]
        members = [
            Member(seed, part, key, start=start)
            for seed, key, start in zip(seeds, keys, starts or [None] * len(seeds), strict=True)
        ]
        outcomes = distill_all(problem, members)
    return outcomes


ROWS = {
    "preset `paper`": "paper",
    "preset `faithful`": "faithful",
    "without neuron initialization": "without neuron start",
    "without Sobolev loss": "without Sobolev loss",
    "without L-BFGS": "without L-BFGS finish",
    "without input bound": "no input bound",
    "without synthetic rows": "no synthetic rows",
    "without surplus neurons": "without surplus",
    "`skewed` rows in place of `direct`": "skewed rows",
    "half more neurons, pruned": "half more neurons, pruned",
    "two layers of as many parameters": "two layers",
    "reference: on real inputs": FLOOR,
}
"""Row of the published table -> variant."""
RECENT = {
    "`faithful` with `direct`": "faithful",
    "`faithful` with prior rows alone": "no synthetic rows",
    "`faithful` with `disagreement`": "disagreement in faithful",
    "`faithful` with `pairwise_coverage`": "pairwise_coverage in faithful",
    "`paper`, which has `direct`": "paper",
    "`random`: prior rows alone": "random",
    "`paper` with `disagreement`": "disagreement in paper",
    "`paper` with `pairwise_coverage`": "pairwise_coverage in paper",
}
"""Row of the published table of recent methods -> variant; a run of these variants alone publishes it."""
SMALL = {
    "`skewed` rows, Sobolev weight 0.3": SKEWED,
    "four times as wide first, pruned in three steps": "wide first",
    "preset `shallow`": "shallow",
    "preset `shallow`, four times as wide first, pruned in three steps": "shallow, wide first",
    "Sobolev weight 0.03": "Sobolev weight 0.03",
    "`skewed` rows of the preset `rough`": "skewed like deep teachers",
}
"""Row of the published table of students of 25 units -> variant; a run of these variants alone publishes it."""
PRESETS = {"preset `paper`": "paper", "preset `faithful`": "faithful", "preset `shallow`": "shallow"}
"""Row of the published tables of our presets, one for each width -> variant; a run of these variants alone publishes it."""
BOUNDS = ("radius 0.1", None, "radius 1", "no input bound", "bound clip 0.1", "bound target 0.1", "no synthetic rows")
"""Columns of the published table of bounds; None is the recipe as it is."""


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: of one tier and width 50 the ablation, of width 25 the small students, of several tiers the tiers.
    A run of the variants in ``RECENT``, ``SMALL`` or ``PRESETS`` alone publishes the table of these.

    Args:
        rows: a row a student, as ``main`` collects them.
        args: width, tiers, seeds and steps.
    """
    budget = f"{args.steps:,} steps"
    if {row["variant"] for row in rows} == {*RECENT.values()}:
        table = {name: spread(rows, variant) for name, variant in RECENT.items()}
        return {"recent_methods": figures.Measured(args.seeds, budget, table)}
    if {row["variant"] for row in rows} == {*SMALL.values()}:
        table = {name: beside(rows, variant, SKEWED) for name, variant in SMALL.items()}
        return {"shallow": figures.Measured(args.seeds, budget, table)}
    if {row["variant"] for row in rows} == {*PRESETS.values()}:
        table = {name: spread(rows, variant) for name, variant in PRESETS.items()}
        values = {f"{name}_over_paper": round(over_paper(rows, name)[-1], 2) for name in ("faithful", "shallow")}
        return {f"presets_{args.width}": figures.Measured(args.seeds, budget, table, values)}
    if len(args.tiers) > 1:
        cells = [mean([row for row in rows if row["tier"] == tier], "faithful") for tier in args.tiers]
        return {"tiers": figures.Measured(args.seeds, budget, {"preset `faithful`": cells}, tier="T0, T3, T4")}
    if args.width == 25:
        table = {"one run of `faithful`": "faithful", "`skewed` rows, Sobolev weight 0.3": SKEWED}
        shown = {name: [""] * 5 + [over_paper(rows, variant)[-1]] for name, variant in table.items()}
        shown["`skewed` rows, Sobolev weight 0.3, on real inputs"] = over_paper(rows, FLOOR_SKEWED)
        return {"ablation_25": figures.Measured(args.seeds, budget, shown)}
    weights = {f"sobolev_weight_{name}": round(mean(rows, f"Sobolev weight {weight}"), 2) for name, weight in WEIGHTS}
    table = {name: spread(rows, variant) for name, variant in ROWS.items()}
    bounds = {
        "with Sobolev loss": ["faithful" if name is None else name for name in BOUNDS],
        "without": ["without Sobolev loss" if name is None else f"value loss, {name}" for name in BOUNDS],
    }
    at = {name: [mean(rows, variant) for variant in variants] for name, variants in bounds.items()}
    on_puma32h = [np.mean(ratios(rows, variant)["puma32h"]) for variant in bounds["with Sobolev loss"]]
    span = {"puma32h_range": f"{min(on_puma32h):.2f} to {max(on_puma32h):.2f}"}
    return {
        "ablation": figures.Measured(args.seeds, budget, table, weights),
        "bounds_with_sobolev": figures.Measured(args.seeds, budget, at, span),
    }


WEIGHTS = (("0_3", "0.3"), ("4", "4"))
"""Name of the value and weight of the Sobolev loss."""


def ratios(rows: list[dict], variant: str, key: str = "ratio") -> dict[str, np.ndarray]:
    """Dataset -> real RMSE over the published one, or what else ``key`` names, by seed."""
    mine = [row for row in rows if row["variant"] == variant]
    names = list({row["dataset"]: None for row in mine})
    return {name: np.array([row[key] for row in mine if row["dataset"] == name]) for name in names}


def mean(rows: list[dict], variant: str) -> float:
    """Geometric mean over datasets of the mean ratio."""
    return float(np.exp(np.mean([np.log(each.mean()) for each in ratios(rows, variant).values()])))


def spread(rows: list[dict], variant: str) -> list[list[float]]:
    """Mean and deviation over seeds for each dataset, and of the geometric mean."""
    each = ratios(rows, variant)
    by_seed = np.exp(np.log(np.stack([*each.values()])).mean(0))
    return [[float(e.mean()), float(e.std())] for e in each.values()] + [[mean(rows, variant), float(by_seed.std())]]


def beside(rows: list[dict], variant: str, reference: str) -> list[Any]:
    """Real RMSE over the mean of a reference: mean for each dataset, mean and deviation over seeds of the geometric mean.

    The last cell is the geometric mean of the RMSE on prior rows, over that of the reference.
    """
    mine, other = ratios(rows, variant), ratios(rows, reference)
    over = [mine[name] / other[name].mean() for name in mine]
    by_seed = np.exp(np.log(np.stack(over)).mean(0))
    prior = [ratios(rows, one, "prior") for one in (variant, reference)]
    seen = np.exp(np.mean([np.log(prior[0][name].mean() / prior[1][name].mean()) for name in mine]))
    return [*(float(each.mean()) for each in over), [float(by_seed.mean()), float(by_seed.std())], float(seen)]


def over_paper(rows: list[dict], variant: str) -> list[float]:
    """Real RMSE over that of our own run of the preset ``paper``, for each dataset and as geometric mean."""
    mine, paper = ratios(rows, variant), ratios(rows, "paper")
    found = [float(mine[name].mean() / paper[name].mean()) for name in mine]
    return [*found, float(np.exp(np.log(found).mean()))]


def known(table: Table, split: dict, tier: str, folder: Path) -> Inputs:
    """What is known of the inputs in a tier."""
    file = declared(table.x[split["train"]], tier, folder / f"{tier}.yaml")
    return Inputs.unknown(table.x.shape[1]) if file is None else read_features(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument(
        "--tiers", nargs="+", choices=("none", *TIERS), default=["none"], help="what is known of the inputs"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    published = json.loads((args.shared / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    rows = []
    for dataset in args.datasets:
        table, split = load(dataset, args.shared, None), shared_split(dataset, args.shared)
        test = torch.from_numpy(table.x[split["test"]])
        jobs = [(tier, name) for tier in args.tiers for name in args.variants]
        problems = {}
        with tempfile.TemporaryDirectory() as folder:
            teacher = shared_teacher(dataset, args.shared, Path(folder))
            for tier, real in {(tier, name in (FLOOR, FLOOR_SKEWED)) for tier, name in jobs}:
                inputs = known(table, split, tier, Path(folder))
                own = RealInputs(table.x[split["train"]]) if real else inputs
                problems[tier, real] = Problem(teacher, own, probe(teacher, inputs))
        with torch.no_grad():
            answers = teacher(test)
        for tier, name in jobs:
            problem = problems[tier, name in (FLOOR, FLOOR_SKEWED)]
            recipe = replace(sized(VARIANTS[name], problem, args.width), steps=args.steps)
            start = time.perf_counter()
            outcomes = in_stages(problem, recipe, STAGES.get(name, (1.0,)), args.seeds)
            seconds = (time.perf_counter() - start) / len(args.seeds)
            for seed, outcome in zip(args.seeds, outcomes, strict=True):
                student = problem.module(recipe.student, outcome.weights)
                with torch.no_grad():
                    rmse = float((student(test) - answers).square().mean().sqrt())
                ratio = rmse / published[dataset]["direct_decreasing"]
                about = {"dataset": dataset, "tier": tier, "variant": name, "seed": seed}
                prior = outcome.selection.nrmse if outcome.selection else float("nan")
                rows.append(about | {"ratio": ratio, "prior": prior, "seconds": seconds})
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1))
    sheet = Sheet(
        title=f"real RMSE over published direct, {args.steps} steps, student {args.width}, {len(args.seeds)} seeds"
    )
    for column in ("variant", *args.datasets, "geometric mean", "seconds"):
        sheet.add_column(column, justify="left" if column == "variant" else "right")
    for tier in args.tiers:
        here = [row for row in rows if row["tier"] == tier]
        for name in args.variants:
            seconds = np.mean([row["seconds"] for row in here if row["variant"] == name])
            shown = [f"{e.mean():.2f} ± {e.std():.2f}" for e in ratios(here, name).values()]
            label = name if len(args.tiers) == 1 else f"{name}, {tier}"
            sheet.add_row(label, *shown, f"{mean(here, name):.3f}", f"{seconds:.1f}")
    Console(width=150).print(sheet)
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
