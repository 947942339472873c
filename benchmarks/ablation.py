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
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tables import SHARED, load, shared_split, shared_teacher

from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.gap_bounds import Clip, Target
from dfkd_tune.recipes.initializers import Neurons, Random
from dfkd_tune.recipes.input_bounds import Linf, Steps
from dfkd_tune.recipes.losses import MSE, Sobolev
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.optimizers import RMSprop
from dfkd_tune.recipes.presets import FAITHFUL, PAPER
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.recipes.refiners import NoRefiner
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

FLOOR = "floor: the same on real inputs"
F = FAITHFUL
PRIOR = {"generator": GENERATORS["gaussian"](), "alpha": Constant(0.0), "finish": replace(F.finish, synthetic=0.0)}
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
VALUE = replace(F, loss=MSE())
VARIANTS: dict[str, Recipe] = {
    "paper": PAPER,
    "faithful": F,
    "without Sobolev loss": VALUE,
    "without neuron start": replace(F, start=Random()),
    "without surplus": replace(F, start=Neurons()),
    "without L-BFGS finish": replace(F, finish=NoRefiner(), optimizer=RMSprop(schedule="cosine")),
    "Sobolev weight 0.3": replace(F, loss=Sobolev(weight=0.3)),
    "Sobolev weight 4": replace(F, loss=Sobolev(weight=4.0)),
    "half more neurons, pruned": replace(F, start=Neurons(surplus=0.5)),
    "two banks of 8,000 rows": replace(F, finish=replace(F.finish, rows=8_000, rounds=2)),
    "heavy-tailed rows": replace(
        F, generator=GENERATORS["heavy_tailed"](spread=0.5), finish=replace(F.finish, synthetic=0.4)
    ),
    "skewed rows": replace(F, generator=GENERATORS["skewed"](), finish=replace(F.finish, synthetic=0.5)),
    "skewed rows, Sobolev weight 0.3": replace(
        F, loss=Sobolev(weight=0.3), generator=GENERATORS["skewed"](), finish=replace(F.finish, synthetic=0.5)
    ),
    "two layers": F.with_student(depth=2),
    **{name: replace(F, **changes) for name, changes in SOUGHT.items()},
    **{f"value loss, {name}": replace(VALUE, **changes) for name, changes in SOUGHT.items()},
    FLOOR: F,
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
    size = (problem.features, problem.outputs)
    return recipe.with_student(width=recipe.student.widest(*size, width * (sum(size) + 1) + size[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    published = json.loads((args.shared / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    rows = []
    for dataset in args.datasets:
        table, split = load(dataset, args.shared, None), shared_split(dataset, args.shared)
        test = torch.from_numpy(table.x[split["test"]])
        with tempfile.TemporaryDirectory() as folder:
            teacher = shared_teacher(dataset, args.shared, Path(folder))
        problems = {}
        for real in {name == FLOOR for name in args.variants}:
            inputs = RealInputs(table.x[split["train"]]) if real else Inputs.unknown(test.shape[1])
            problems[real] = Problem(teacher, inputs, probe(teacher, Inputs.unknown(test.shape[1])))
        with torch.no_grad():
            answers = teacher(test)
        for name in args.variants:
            problem = problems[name == FLOOR]
            recipe = replace(sized(VARIANTS[name], problem, args.width), steps=args.steps)
            start = time.perf_counter()
            outcomes = distill_all(problem, [Member(s, recipe, derive(s, "ablation")) for s in args.seeds])
            seconds = (time.perf_counter() - start) / len(args.seeds)
            for seed, outcome in zip(args.seeds, outcomes, strict=True):
                student = problem.module(recipe.student, outcome.weights)
                with torch.no_grad():
                    rmse = float((student(test) - answers).square().mean().sqrt())
                ratio = rmse / published[dataset]["direct_decreasing"]
                rows.append({"dataset": dataset, "variant": name, "seed": seed, "ratio": ratio, "seconds": seconds})
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1))
    sheet = Table(
        title=f"real RMSE over published direct, {args.steps} steps, student {args.width}, {len(args.seeds)} seeds"
    )
    for column in ("variant", *args.datasets, "geometric mean", "seconds"):
        sheet.add_column(column, justify="left" if column == "variant" else "right")
    for name in args.variants:
        mine = [row for row in rows if row["variant"] == name]
        each = [np.array([row["ratio"] for row in mine if row["dataset"] == dataset]) for dataset in args.datasets]
        mean = np.exp(np.mean([np.log(ratios.mean()) for ratios in each]))
        seconds = np.mean([row["seconds"] for row in mine])
        cells = [f"{ratios.mean():.2f} ± {ratios.std():.2f}" for ratios in each]
        sheet.add_row(name, *cells, f"{mean:.3f}", f"{seconds:.1f}")
    Console(width=150).print(sheet)


if __name__ == "__main__":
    main()
