"""Whether more seeds of the leading recipes lead to a better student: rules of promotion compared on the same students.

A default study re-runs its ``LEADERS`` best recipes until each has ``SEEDS`` students. Every rule then sees some of them, in the order
in which they were made, and promotes one by the objective alone. The real test rows are read after everything was made. The regret is
the real RMSE of the promoted student over that of the study's best trial, minus one; it may be below zero.

    python benchmarks/evidence.py --shared ../shared --json evidence.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
from fidelity import DATASETS, real_rmse, spec_of, student_of
from resumable import dataset_and_seed, measure_each
from rich.console import Console
from rich.table import Table

from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import Score, run_name
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

LEADERS, SEEDS, WIDTH = 8, 8, 50

Student = Mapping[str, Any]
"""``recipe``, ``objective`` and ``real`` of a student."""
Recipes = Sequence[Sequence[Student]]
"""The students of each leading recipe in the order in which they were made, the recipe with the best trial first."""


def mean(students: Sequence[Student]) -> float:
    """Mean objective."""
    return statistics.fmean(student["objective"] for student in students)


def best(students: Sequence[Student]) -> Student:
    """The student with the best objective."""
    return min(students, key=lambda student: student["objective"])


def over_seeds(leaders: int, seeds: int) -> Callable[[Recipes], Student]:
    """The best student of the recipe with the best mean over so many seeds, among so many leaders."""
    return lambda recipes: best(min((each[:seeds] for each in recipes[:leaders]), key=mean))


def halving(recipes: Recipes) -> Student:
    """Successive halving: 8 leaders with two students each, the better 4 with four, the better 2 with eight."""
    left, seeds = list(recipes[:LEADERS]), 2
    while seeds < SEEDS:
        left = sorted(left, key=lambda each: mean(each[:seeds]))[: max(1, len(left) // 2)]
        seeds *= 2
    return best(min(left, key=mean))


RULES: dict[str, tuple[int, Callable[[Recipes], Student]]] = {
    "the best trial": (0, over_seeds(1, 1)),
    "3 recipes, 3 students each (default)": (6, over_seeds(3, 3)),
    "successive halving, 8 recipes to 2, 2 to 8 students": (24, halving),
    "3 recipes, 8 students each": (21, over_seeds(3, 8)),
    "8 recipes, 8 students each": (56, over_seeds(8, 8)),
}
"""Rule -> number of re-runs, and how it promotes."""


def students(dataset: str, args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """All students of a study whose leading recipes have ``SEEDS`` students each."""
    table = np.load(args.shared / "data" / f"{dataset}.npz")
    x = table["X"][table["test"]]
    about = {"name": "evidence", "trials": args.trials, "seed": seed, "leaders": LEADERS, "reruns": SEEDS - 1}
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            spec_of(dataset, args, Path(folder), about, {"budget": {"steps": args.steps, "trial_share": 1}})
        )
        uri, storage = (sqlite_url(Path(folder) / name) for name in ("mlflow.db", "optuna.db"))
        run_study(prepared, storage, uri)
        study = load_study(storage, "evidence")
        made = [(t.number, run_name(t.number), t.value) for t in study.trials if t.state.name == "COMPLETE"]
        for key, each in StudyRecord.of(study).reruns.items():
            scores = {name: Score.of(value) for name, value in each.items() if key.isdigit()}
            made += [(int(key), name, score.objective) for name, score in scores.items() if not score.diverged]
        return [
            {"recipe": number, "name": name, "objective": value}
            | {"real": real_rmse(student_of(uri, "evidence", name=name), prepared.teacher, x)}
            for number, name, value in made
        ]


def regrets(found: Sequence[Student]) -> dict[str, float]:
    """Rule -> regret in percent."""
    trials = [student for student in found if student["name"].startswith("trial")]
    leading = sorted(trials, key=lambda student: student["objective"])[:LEADERS]
    recipes = [[student for student in found if student["recipe"] == first["recipe"]] for first in leading]
    least = min(student["real"] for student in trials)
    return {name: 100 * (promote(recipes)["real"] / least - 1) for name, (_, promote) in RULES.items()}


def entries(found: Mapping[str, Sequence[Student]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: the regret of every rule, by dataset."""
    told = {key: regrets(each) for key, each in found.items()}
    rows = {
        name: [
            count,
            *(round(one[name]) for one in told.values()),
            round(statistics.median(one[name] for one in told.values())),
        ]
        for name, (count, _) in RULES.items()
    }
    return {"evidence": figures.Measured(args.seeds, f"{args.trials} trials of {args.steps:,} steps", rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and teachers/")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path, help="also write the students here; studies in it are not run again")
    figures.add_option(parser)
    args = parser.parse_args()
    args.width = WIDTH
    torch.set_num_threads(1)
    found = measure_each(
        product(args.datasets, args.seeds),
        dataset_and_seed,
        lambda cell: students(cell[0], args, cell[1]),
        args.json,
    )
    told = {key: regrets(each) for key, each in found.items()}
    table = Table(title="regret in percent, by rule of promotion")
    for column in ("rule", "re-runs", *told):
        table.add_column(column)
    for name, (count, _) in RULES.items():
        table.add_row(name, str(count), *(f"{each[name]:.1f}" for each in told.values()))
    Console(width=150).print(table)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
