"""When does a bound on the difference help, and where is it best? Direct optimization over a grid of thresholds.

    python benchmarks/threshold.py --shared ../shared --datasets compactiv pole --out threshold.png

Everything but the bounds is fixed. Each student is measured on real test inputs and on the selection bank, against the
shared teacher; the figure and the table say how each bound does beside no bound. Real rows choose nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tables import SHARED, load, shared_split, shared_teacher

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS
from dfkd_tune.recipes.mixing import ALPHAS
from dfkd_tune.recipes.optimizers import OPTIMIZERS
from dfkd_tune.recipes.presets import PAPER, RANDOM
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

BOUNDED = ("clip", "target", "cap")
LOW, HIGH = 0.02, 2.0
COLORS = {"clip": "tab:blue", "target": "tab:orange", "cap": "tab:green"}
MEASURES = {"real": "real test inputs", "bank": "the selection bank"}


@dataclass(frozen=True)
class Cell:
    """One choice of bounds; ``threshold`` is None without a difference bound, ``reach`` None for random sampling."""

    bound: str
    threshold: float | None
    reach: str | None


def cells(points: int) -> list[Cell]:
    """Every bound at every threshold under every input bound, no bound, and random sampling."""
    grid = [round(float(t), 3) for t in np.geomspace(LOW, HIGH, points)]
    found = [Cell("random", None, None)]
    for reach in ("steps", "linf"):
        found.append(Cell("none", None, reach))
        found += [Cell(bound, threshold, reach) for bound in BOUNDED for threshold in grid]
    return found


def recipe(cell: Cell, args: argparse.Namespace) -> Recipe:
    """The fixed hyper-parameters with the bounds of a cell."""
    optimizer = OPTIMIZERS[args.optimizer](lr=args.lr, schedule="cosine")
    base = replace(RANDOM if cell.reach is None else PAPER, optimizer=optimizer, steps=args.steps)
    if cell.reach is None:
        return base
    bound = GAP_BOUNDS[cell.bound](**({"threshold": cell.threshold} if cell.threshold else {}))
    reach = INPUT_BOUNDS[cell.reach](**({"radius": args.radius} if cell.reach == "linf" else {}))
    return replace(base, bound=bound, input_bound=reach, alpha=ALPHAS[args.alpha]())


def sweep(dataset: str, args: argparse.Namespace) -> list[dict]:
    """All cells and seeds on one dataset, a row each, in populations of ``args.population``."""
    with tempfile.TemporaryDirectory() as folder:
        teacher = shared_teacher(dataset, args.shared, Path(folder))
    test = shared_split(dataset, args.shared)["test"]
    x = torch.from_numpy(load(dataset, args.shared).x[test])
    inputs = Inputs.unknown(x.shape[1])
    problem = Problem(teacher, inputs, probe(teacher, inputs))
    with torch.no_grad():
        answers = teacher(x)
    waiting = [(cell, seed) for cell in cells(args.points) for seed in args.seeds]
    rows = []
    for start in range(0, len(waiting), args.population):
        population = Population(problem)
        for cell, seed in waiting[start : start + args.population]:
            population.admit(Member((cell, seed), recipe(cell, args), derive(seed, dataset)))
        while any(not member.finished for member in population.members):
            population.advance()
        for member in population.members:
            cell, seed = member.key
            with torch.no_grad():
                out = problem.module(member.recipe.student, member.result())(x)
            real = float((out - answers).square().mean().sqrt())
            bank = population.fidelity(member, problem.banks["selection"]).rmse
            rows.append(
                {"dataset": dataset, **vars(cell), "seed": seed, "real": real, "bank": bank, **member.synthesis}
            )
    return rows


def mean(rows: Sequence[dict], measure: str, **wanted) -> float:
    """Mean over seeds of the rows that are as wanted."""
    return fmean(row[measure] for row in rows if all(row[key] == value for key, value in wanted.items()))


def answer(rows: list[dict], radius: float) -> Table:
    """For each bound: where it is best on real inputs, beside no bound, and what choosing by the bank comes to.

    Seeds share start and prior rows across bounds, so each is compared with its own run without a bound.
    """
    sheet = Table(title="RMSE student-vs-teacher on real test inputs, mean over seeds; ratios to no bound")
    for name in ("dataset", "input bound", "bound"):
        sheet.add_column(name)
    for name in ("RMSE", "ratio", "best threshold", "every seed better at", "chosen by bank", "ratio"):
        sheet.add_column(name, justify="right")
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        here = [row for row in rows if row["dataset"] == dataset]
        sheet.add_row(dataset, "", "random", f"{mean(here, 'real', bound='random'):.4f}")
        for reach in ("steps", "linf"):
            shown = reach if reach == "steps" else f"linf {radius:g}"
            free = {row["seed"]: row["real"] for row in here if row["bound"] == "none" and row["reach"] == reach}
            level = fmean(free.values())
            sheet.add_row(dataset, shown, "none", f"{level:.4f} ± {np.std(list(free.values())):.4f}", "1.00")
            for bound in BOUNDED:
                mine = [row for row in here if row["bound"] == bound and row["reach"] == reach]
                grid = sorted({row["threshold"] for row in mine})
                real, bank = ([mean(mine, m, threshold=t) for t in grid] for m in MEASURES)
                ratios = [value / level for value in real]
                better = [t for t in grid if all(r["real"] < free[r["seed"]] for r in mine if r["threshold"] == t)]
                best, chosen = int(np.argmin(real)), int(np.argmin(bank))
                sheet.add_row(
                    dataset,
                    shown,
                    bound,
                    f"{real[best]:.4f}",
                    f"{ratios[best]:.2f}",
                    f"{grid[best]:g}",
                    " ".join(f"{t:g}" for t in better) or "never",
                    f"{grid[chosen]:g}",
                    f"{ratios[chosen]:.2f}",
                )
    return sheet


def draw(rows: list[dict], radius: float, out: Path) -> None:
    """One figure: a row of panels a dataset; RMSE over the threshold for each bound, input bound and measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = pyplot.subplots(len(datasets), 4, figsize=(15, 3.4 * len(datasets)), squeeze=False, sharex=True)
    for line, dataset in zip(axes, datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        panels = [(measure, reach) for measure in MEASURES for reach in ("steps", "linf")]
        for ax, (measure, reach) in zip(line, panels, strict=True):
            for bound in BOUNDED:
                mine = [row for row in here if row["bound"] == bound and row["reach"] == reach]
                grid = sorted({row["threshold"] for row in mine})
                every = [[row[measure] for row in mine if row["threshold"] == t] for t in grid]
                ax.plot(grid, [fmean(values) for values in every], "o-", ms=4, color=COLORS[bound], label=bound)
                ax.fill_between(grid, [min(v) for v in every], [max(v) for v in every], color=COLORS[bound], alpha=0.15)
            ax.axhline(mean(here, measure, bound="none", reach=reach), color="black", label="no bound")
            ax.axhline(mean(here, measure, bound="random"), color="gray", ls=":", label="random sampling")
            ax.set(xscale="log")
            ax.set_title(
                f"{dataset}: {MEASURES[measure]}, {reach if reach == 'steps' else f'linf {radius:g}'}", fontsize=9
            )
        for first, second in ((0, 1), (2, 3)):
            edges = [*line[first].get_ylim(), *line[second].get_ylim()]
            for ax in (line[first], line[second]):
                ax.set_ylim(min(edges), max(edges))
        line[0].set_ylabel("RMSE student-vs-teacher")
    for ax in axes[-1]:
        ax.set_xlabel("threshold / standard deviation of the teacher")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=150)


PUBLISHED = {"compactiv_target": ("compactiv", "target"), "pole_clip": ("pole", "clip")}
"""Published value -> dataset and bound."""


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: where the bound of each teacher is best, and how much it lowers the RMSE, in percent.

    Args:
        rows: a row a student, as ``sweep`` returns them.
        args: seeds, steps, optimizer, rate and alpha.
    """
    values: dict[str, object] = {}
    for name, (dataset, bound) in PUBLISHED.items():
        here = [row for row in rows if row["dataset"] == dataset and row["reach"] == "steps"]
        free = mean(here, "real", bound="none")
        grid = sorted({row["threshold"] for row in here if row["bound"] == bound})
        ratio = {threshold: mean(here, "real", bound=bound, threshold=threshold) / free for threshold in grid}
        best = min(grid, key=ratio.__getitem__)
        values |= {name: f"{100 * (1 - ratio[best]):.0f} %", f"{dataset}_threshold": f"{best:.2g}"}
    budget = f"{args.steps:,} steps, {args.optimizer} {args.lr:g}, alpha {args.alpha}, student 50"
    return {"threshold": figures.Measured(args.seeds, budget, values=values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--datasets", nargs="+", choices=SHARED, default=["compactiv", "pole"])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--points", type=int, default=7, help="thresholds from .02 to 2, log-spaced")
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--radius", type=float, default=0.3, help="of linf")
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="adam")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--alpha", choices=tuple(ALPHAS), default="constant", help="constant is 0.5")
    parser.add_argument("--out", type=Path, default=Path("threshold.png"), help="figure: .png or .svg")
    parser.add_argument("--json", type=Path, help="also write every student's figures here")
    figures.add_option(parser)
    args = parser.parse_args()
    if args.publish and set(args.datasets) != {dataset for dataset, _ in PUBLISHED.values()}:
        parser.error("--publish: the published figures are of compactiv and pole")
    torch.set_num_threads(1)
    console, start = Console(width=130), time.process_time()
    rows = [row for dataset in args.datasets for row in sweep(dataset, args)]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    draw(rows, args.radius, args.out)
    console.print(answer(rows, args.radius))
    console.print(f"{len(rows)} students, {time.process_time() - start:.0f} s of the processor", highlight=False)
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
