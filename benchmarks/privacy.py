"""What differential privacy costs: tier T4 with `describe --epsilon 1` beside T4 without, on real test inputs.

One run of the preset `faithful` for each teacher, seed and description; every seed has noise of its own. The bounds are ranges around
those of all rows, as a data sheet has them: so many times as wide. Columns with few values have levels. Real rows choose nothing.

    python benchmarks/privacy.py --shared ../shared
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from ablation import sized
from rich.console import Console
from rich.table import Table as Sheet
from tables import SHARED, declared, declared_privately, load, shared_split, shared_teacher

from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.recipes.presets import FAITHFUL
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

OPEN = "T4 without privacy"


def one(dataset: str, shared: Path, file: Path, seed: int, steps: int, folder: Path) -> float:
    """Real RMSE of one student of 50 hidden units that knows a features file."""
    table, split = load(dataset, shared, None), shared_split(dataset, shared)
    teacher, inputs = shared_teacher(dataset, shared, folder), read_features(file)
    problem = Problem(teacher, inputs, probe(teacher, inputs))
    recipe = replace(sized(FAITHFUL, problem, 50), steps=steps)
    (outcome,) = distill_all(problem, [Member(seed, recipe, derive(seed, "privacy"))])
    student, test = problem.module(recipe.student, outcome.weights), torch.from_numpy(table.x[split["test"]])
    with torch.no_grad():
        return float((student(test) - teacher(test)).square().mean().sqrt())


def geometric(ratios: np.ndarray) -> float:
    return float(np.exp(np.log(ratios).mean()))


def row(found: np.ndarray) -> list[list[float]]:
    """Mean and deviation over seeds of each dataset, and of the geometric mean; from ratios ``(datasets, seeds)``."""
    means = [geometric(each) for each in found.T]
    return [[float(each.mean()), float(each.std())] for each in found] + [
        [geometric(found.mean(1)), float(np.std(means))]
    ]


def entries(found: np.ndarray, args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes.

    Args:
        found: ratios ``(descriptions, datasets, seeds)``, without privacy first.
        args: epsilon, widths of the ranges, seeds and steps.
    """
    table = {name: row(each) for name, each in zip(names_of(args), found, strict=True)}
    values = {
        key: round(100 * cost) for key, cost in zip(("cost_percent", "cost_wide_percent"), costs(found), strict=True)
    }
    return {"privacy": figures.Measured(args.seeds, f"one run of {args.steps:,} steps", table, values, tier="T4")}


def names_of(args: argparse.Namespace) -> list[str]:
    """Names of the descriptions."""
    return [OPEN, *(f"epsilon {args.epsilon:g}, ranges {width:g} times as wide" for width in args.widths)]


def costs(found: np.ndarray) -> list[float]:
    """How much greater the geometric mean is than without privacy, for each description with it."""
    means = [geometric(each.mean(1)) for each in found]
    return [mean / means[0] - 1 for mean in means[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", default=list(SHARED))
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument(
        "--widths", type=float, nargs="+", default=[1.5, 3.0], help="of the ranges, in those of the rows"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    published = json.loads((args.shared / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    names = names_of(args)
    found = np.zeros((len(names), len(args.datasets), len(args.seeds)))
    with tempfile.TemporaryDirectory() as each:
        folder = Path(each)
        for j, dataset in enumerate(args.datasets):
            table = load(dataset, args.shared, None)
            rows = table.x[shared_split(dataset, args.shared)["train"]]
            for k, seed in enumerate(args.seeds):
                files = [declared(rows, "correlation", folder / "open.yaml")]
                for i, width in enumerate(args.widths):
                    files.append(declared_privately(rows, args.epsilon, width, folder / f"private-{i}.yaml"))
                for i, file in enumerate(files):
                    rmse = one(dataset, args.shared, file, seed, args.steps, folder)
                    found[i, j, k] = rmse / published[dataset]["direct_decreasing"]
            print(dataset, *(f"{name}: {found[i, j].round(3)}" for i, name in enumerate(names)), sep="; ", flush=True)
            if args.json:
                args.json.write_text(json.dumps({"names": names, "datasets": args.datasets, "found": found.tolist()}))
    sheet = Sheet(title=f"real RMSE over published direct, {args.steps} steps, {len(args.seeds)} seeds")
    for column in ("description", *args.datasets, "geometric mean"):
        sheet.add_column(column)
    for name, each in zip(names, found, strict=True):
        sheet.add_row(name, *(f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in row(each)))
    Console(width=150).print(sheet)
    print("real RMSE more than without privacy:", *(f"{100 * cost:.1f} %" for cost in costs(found)))
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
