"""Which rule chooses best without data: banks of prior rows and of outlying rows, moved or not, gradients, and their mixtures.

Students of the default space, or of a wide one whose methods differ, are distilled from each shared teacher and scored by
every rule; ``prior`` is the selection bank, ``prior, spiked 0.15 ^ 0.25`` the objective ``robust``, whose stress bank is
``spiked 0.15``. Real test inputs are read after everything was made, and tell of each rule its rank correlation with the real
RMSE over the students of a teacher, and its expected regret: the real RMSE of the student it prefers over that of the best,
minus one, over random subsets. The rule ``ceiling`` cheats: it reads as many real training rows as a bank has.

    python benchmarks/choosing.py --shared ../shared --students 30 --space wide
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures
import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from tables import SHARED, load, shared_split, shared_teacher
from torch import Tensor, nn

from dfkd_tune.evaluation.stress_bank import reference_students, stress_bank
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import FAITHFUL, PAPER
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.search_space import DEFAULT, make_space
from dfkd_tune.search.space.space import Space
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.distill import Outcome, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive, stream

HIDDEN = 50
"""The students have the parameters of so many hidden units."""
POPULATION = 8
RADII = (0.15, 0.34)
WEIGHTS = (0.25, 0.5, 0.75)
GROWTH = 8
"""Times as many rows in the banks of the rule ``GROWN``."""
FREEDOM = 4
"""Of the Student t rows, which are as wide as prior rows but heavy-tailed."""
SUBSETS, SHARE = 200, 2 / 3
ROBUST = "prior, spiked 0.15 ^ 0.25"
"""The rule that is the objective ``robust`` of a shallow teacher."""
GROWN = f"{ROBUST}, {GROWTH} times the rows"
"""The same on other, larger banks."""


def wide(widest: int) -> dict[str, Any]:
    """A space whose students differ by method: those of the papers, ours, and what lies between."""
    kinds = {"initializer": ["random", "neurons"], "loss": ["mse", "sobolev"], "refiner": ["none", "lbfgs"]}
    width = {"student.width": {"low": max(1, widest // 2), "high": widest}}
    return DEFAULT | {f"{section}.kind": choices for section, choices in kinds.items()} | width


def recipes(space: Space, count: int, seed: int) -> list[Recipe]:
    """Recipes that random search would try, the leads of the space first."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for lead in space.initial_points():
            study.enqueue_trial(lead)
        return [space.suggest(study.ask()) for _ in range(count)]


def distilled(problem: Problem, given: list[Recipe]) -> list[Outcome]:
    """The students that did not diverge."""
    members = [Member(k, recipe, derive(problem.seed, "trial", k)) for k, recipe in enumerate(given)]
    groups = [members[first : first + POPULATION] for first in range(0, len(members), POPULATION)]
    return [outcome for group in groups for outcome in distill_all(problem, group) if outcome.failure is None]


def heavy(problem: Problem) -> Tensor:
    """Rows whose features each follow a Student t of the prior's width."""
    rng = stream(problem.seed, "heavy")
    z = problem.inputs.draw(len(problem.banks["selection"].z), rng)
    chi2 = torch.randn(FREEDOM, *z.shape, generator=rng, dtype=z.dtype).square().sum(0)
    return z * ((FREEDOM - 2) / chi2).sqrt()


def rows_of(problem: Problem, z: Tensor) -> Bank:
    """A bank of given rows."""
    z = z.to(problem.dtype)
    return Bank(z, problem.answer_in_chunks(z), problem.spread)


def correlated(problem: Problem) -> Tensor:
    """Normal rows with two strong common factors, whose loadings are drawn anew for every fortieth row."""
    rng, rows = stream(problem.seed, "correlated"), len(problem.banks["selection"].z)
    loadings = torch.randn(rows // 40 + 1, 2, problem.features, generator=rng).repeat_interleave(40, 0)[:rows]
    common = torch.randn(rows, 2, 1, generator=rng)
    return 0.57 * (loadings * common).sum(1) + 0.6 * torch.randn(rows, problem.features, generator=rng)


def skewed(problem: Problem) -> Tensor:
    """Rows of the generator ``skewed``."""
    generator = GENERATORS["skewed"]()
    engine = generator.engine(problem.features, derive(problem.seed, "skewed"))
    return generator.block(problem.inputs, 1, len(problem.banks["selection"].z), engine)[0]


def banks(problem: Problem, panel: list[Outcome]) -> dict[str, Bank]:
    """Candidate banks by name; those of a radius are moved against the reference students ``panel``."""
    found = {
        "prior": problem.banks["selection"],
        "heavy": rows_of(problem, heavy(problem)),
        "skewed": rows_of(problem, skewed(problem)),
        "correlated": rows_of(problem, correlated(problem)),
        "wider 1.5": rows_of(problem, 1.5 * problem.banks["selection"].z),
        "spiked": stress_bank(problem, []),
    }
    moved = {
        f"{name} {radius}": stress_bank(problem, panel, radius, spiked)
        for name, spiked in (("prior", False), ("spiked", True))
        for radius in RADII
    }
    return found | moved


def grown(problem: Problem, panel: list[Outcome]) -> tuple[Bank, Bank]:
    """Both banks of the objective, drawn anew with ``GROWTH`` times as many rows."""
    shipped = problem.banks["selection"]
    z = problem.inputs.draw(GROWTH * len(shipped.z), stream(problem.seed, "grown"))
    problem.banks["selection"] = rows_of(problem, z)
    try:
        return problem.banks["selection"], stress_bank(problem, panel, RADII[0])
    finally:
        problem.banks["selection"] = shipped


def gradient_gap(problem: Problem, outcome: Outcome) -> float:
    """Root mean square gap of the normalized input gradients on the selection bank."""
    weights = [w.unsqueeze(0) for w in outcome.weights]
    z = problem.banks["selection"].z
    _, gradients = problem.labels(z)
    z = z.detach().requires_grad_()
    answers = outcome.recipe.student.answer(weights, z.unsqueeze(0), problem.columns)[0]
    mine = [torch.autograd.grad(answers[:, o].sum(), z, retain_graph=True)[0] for o in range(problem.outputs)]
    return float((torch.stack(mine, dim=1) - gradients).square().sum((1, 2)).mean().sqrt())


def scores(problem: Problem, outcome: Outcome, probes: dict[str, Bank]) -> dict[str, float]:
    """What each rule says of a student; less is better."""
    found = {name: fidelity(problem, outcome.recipe, outcome.weights, bank).nrmse for name, bank in probes.items()}
    prior = found["prior"]
    for name in [name for name in found if name != "prior"]:
        found |= {f"prior, {name} ^ {weight}": prior ** (1 - weight) * found[name] ** weight for weight in WEIGHTS}
    return found | {"gradients": gradient_gap(problem, outcome)}


def one(dataset: str, args: argparse.Namespace, folder: Path) -> tuple[Problem, list[Outcome], list[dict[str, float]]]:
    """The students of a teacher and their scores, no rule but the ceiling reading a real row."""
    teacher = shared_teacher(dataset, args.shared, folder)
    inputs = Inputs.unknown(teacher.chain.layers[0][0].shape[1])
    problem = Problem(teacher, inputs, probe(teacher, inputs), seed=args.seed)
    limit = HIDDEN * (problem.features + 2) + 1
    preset = replace(FAITHFUL, steps=args.steps)
    size = (problem.columns, problem.outputs)
    search = wide(preset.student.widest(*size, limit)) if args.space == "wide" else None
    space = make_space(preset, search, size, limit)
    students = distilled(problem, recipes(space, args.students, args.seed))
    like = replace(PAPER, steps=args.steps)
    panel = reference_students(problem, like.with_student(width=space.widest(like.student)))
    probes, (prior, stress) = banks(problem, panel), grown(problem, panel)
    found = [scores(problem, student, probes) for student in students]
    for student, score in zip(students, found, strict=True):
        near, far = (fidelity(problem, student.recipe, student.weights, bank).nrmse for bank in (prior, stress))
        score[GROWN] = near ** (1 - WEIGHTS[0]) * far ** WEIGHTS[0]
    train = shared_split(dataset, args.shared)["train"]
    seen = rows_of(problem, torch.from_numpy(load(dataset, args.shared).x[train][: len(probes["prior"].z)]))
    for student, score in zip(students, found, strict=True):
        score["ceiling"] = fidelity(problem, student.recipe, student.weights, seen).nrmse
    return problem, students, found


def real_rmse(problem: Problem, outcome: Outcome, x: Tensor) -> float:
    """RMSE student-vs-teacher on real rows ``(N, D)``, in the teacher's units."""
    module: nn.Module = problem.module(outcome.recipe.student, outcome.weights)
    with torch.no_grad():
        return float((module(x) - problem.teacher(x)).square().mean().sqrt())


def evaluator(score: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Rank correlation of a score ``(N,)`` with the real RMSE, and its expected regret over random subsets."""
    rng, size = np.random.default_rng(0), max(2, round(SHARE * len(real)))
    subsets = [rng.choice(len(real), size, replace=False) for _ in range(SUBSETS)]
    regret = [real[subset][score[subset].argmin()] / real[subset].min() - 1 for subset in subsets]
    return float(spearmanr(score, real)[0]), float(np.mean(regret))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and teachers/")
    parser.add_argument("--students", type=int, default=30, help="recipes sampled for each teacher")
    parser.add_argument("--space", choices=("default", "wide"), default="default")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--datasets", nargs="+", choices=SHARED, default=list(SHARED))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    figures.add_option(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        made = {dataset: one(dataset, args, Path(folder)) for dataset in args.datasets}
    rows = {}
    for dataset, (problem, students, found) in made.items():
        arrays = np.load(args.shared / "data" / f"{dataset}.npz")
        x = torch.from_numpy(arrays["X"][shared_split(dataset, args.shared)["test"]])
        rows[dataset] = [
            {"recipe": student.recipe.tree(), "real": real_rmse(problem, student, x), "scores": score}
            for student, score in zip(students, found, strict=True)
        ]
    verdicts = {
        rule: {
            dataset: evaluator(
                *(np.array([row["scores"][rule] for row in each]), np.array([row["real"] for row in each]))
            )
            for dataset, each in rows.items()
        }
        for rule in next(iter(rows.values()))[0]["scores"]
    }
    if args.json:
        about = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        args.json.write_text(json.dumps({"arguments": about, "rules": verdicts, "students": rows}, indent=1))
    show(verdicts, f"{args.students} students of the {args.space} space, {args.steps} steps, seed {args.seed}")
    if args.publish:
        figures.publish(entries(verdicts, args))


def entries(
    verdicts: dict[str, dict[str, tuple[float, float]]], args: argparse.Namespace
) -> dict[str, figures.Measured]:
    """What a run publishes: of the wide space, how the objective ranks; of the default one, whether larger banks rank better.

    Args:
        verdicts: rule -> dataset -> rank correlation and expected regret.
        args: space, seed, and number of students and steps.
    """
    if args.space == "wide":
        rank, regret = cells(verdicts[ROBUST])
        rows = {"rank correlation": rank, "regret, %": regret}
        return {"choosing": figures.Measured([args.seed], f"{args.students} students a teacher", rows)}
    rules = {"banks of 8,000 rows": ROBUST, f"banks of {8_000 * GROWTH:,} rows": GROWN}
    told = [(words, *cells(verdicts[rule])) for words, rule in rules.items()]
    rows = {f"{words}: rank correlation": rank for words, rank, _ in told}
    rows |= {f"{words}: regret, %": regret for words, _, regret in told}
    budget = f"{args.students} students of {args.steps:,} steps a teacher"
    return {"choosing_rows": figures.Measured([args.seed], budget, rows)}


def cells(by_dataset: dict[str, tuple[float, float]]) -> tuple[list[float], list[str]]:
    """Rank correlations with their mean, and regrets in percent with their median."""
    correlations, regrets = np.array([*by_dataset.values()]).T
    told = [f"{100 * regret:.0f}" for regret in (*regrets, np.median(regrets))]
    return [*correlations, correlations.mean()], told


def show(verdicts: dict[str, dict[str, tuple[float, float]]], title: str) -> None:
    """Rank correlation and expected regret, rules of the least mean regret first."""
    datasets = list(next(iter(verdicts.values())))
    table = Table(title=f"rank correlation with the real RMSE, and expected regret; {title}")
    for column in ("rule", "mean", *datasets):
        table.add_column(column, justify="left" if column == "rule" else "right")
    means = {rule: np.mean([each[dataset] for dataset in datasets], axis=0) for rule, each in verdicts.items()}
    for rule in sorted(means, key=lambda rule: means[rule][1]):
        pairs = [means[rule], *(verdicts[rule][dataset] for dataset in datasets)]
        table.add_row(rule, *(f"{correlation:.3f} {regret:.1%}" for correlation, regret in pairs))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
