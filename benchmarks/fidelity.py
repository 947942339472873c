"""Fidelity on real test inputs: the preset `paper` and a study's student, for each shared teacher, beside the published figures.

Real rows are read here after everything was chosen, and choose nothing. They also tell how well the choice was made: the
rank correlation of the study's objective with the real fidelity over its trials, and the regret, which is the real RMSE of
the promoted student over that of the study's best trial, minus one. ``--tier`` describes the inputs from the training rows,
as ``dfkd-tune describe`` does; tiers are never mixed in one table. ``--tier private`` is tier T4 as ``describe --epsilon 1`` tells it, with
ranges one and a half times as wide as those of the rows and noise of its own for every seed.

    python benchmarks/fidelity.py --shared ../shared --trials 60
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from tables import declared, declared_privately

from dfkd_tune.export.student_files import read_student
from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.reporting import terminal_progress
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import StudySpec, parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.tables.describe import TIERS
from dfkd_tune.tracking import run_lookup

PRIVATE, EPSILON, RANGES = "private", 1.0, 1.5
"""Tier T4 with differential privacy: its loss, and the width of the declared ranges in those of the rows."""
DATASETS = ("compactiv", "cpusmall", "mv", "pole", "puma32h")


def real_rmse(student: torch.nn.Module, teacher, x: np.ndarray) -> float:
    """RMSE student-vs-teacher on real rows, in the teacher's units."""
    rows = torch.from_numpy(x)
    with torch.no_grad():
        return float((student(rows) - teacher(rows)).square().mean().sqrt())


def student_of(uri: str, study: str, trial: int | None = None, name: str | None = None) -> torch.nn.Module:
    """A student on record."""
    run = run_lookup.find_run(uri, study, trial, name)
    with run_lookup.fetch(uri, run.info.run_id) as files:
        return read_student(files)[0]


def spec_of(
    dataset: str, args: argparse.Namespace, folder: Path, study: dict, more: Mapping[str, Any] | None = None
) -> StudySpec:
    """The study file of a shared teacher.

    Args:
        dataset: name of the teacher and of its table.
        args: folder of the shared files, width of the students and steps of a trial.
        folder: where the teacher's architecture is written.
        study: section ``study``.
        more: further sections.
    """
    features = np.load(Path(args.shared) / "data" / f"{dataset}.npz")["X"].shape[1]
    architecture = folder / f"{dataset}.yaml"
    architecture.write_text(f"layers: [{features}, 500, 1]\nactivation: tanh\n")
    file = Path(args.shared) / "teachers" / f"{dataset}.safetensors"
    tree = {
        "study": study,
        "teacher": {"path": str(file), "architecture": str(architecture)},
        "student": {"max_parameters": args.width * (features + 2) + 1},
        "budget": {"steps": args.steps},
    }
    return parse_spec(tree | dict(more or {}), "fidelity")


def told(rows: np.ndarray, tier: str, path: Path) -> Path | None:
    """A features file of real rows ``(N, D)`` in a tier; None for ``none``."""
    return declared_privately(rows, EPSILON, RANGES, path) if tier == PRIVATE else declared(rows, tier, path)


def one(dataset: str, args: argparse.Namespace, folder: Path, seed: int) -> dict:
    """A study on one teacher; returns the real-input RMSE of the preset, of every trial and of the promoted student."""
    table = dict(np.load(Path(args.shared) / "data" / f"{dataset}.npz"))
    x = table["X"][table["test"]]
    features_file = told(table["X"][table["train"]], args.tier, folder / f"{dataset}-{seed}-features.yaml")
    about = {"name": f"{dataset}-{args.width}-{seed}", "trials": args.trials, "seed": seed}
    more = {} if features_file is None else {"features": str(features_file)}
    spec = spec_of(dataset, args, folder, about, more | ({"preset": args.preset} if args.preset else {}))
    prepared = prepare(spec)
    start = time.perf_counter()
    uri, storage = sqlite_url(folder / "mlflow.db"), sqlite_url(folder / "optuna.db")
    with terminal_progress.watch(Console(stderr=True), spec.name) as on_progress:
        result = run_study(prepared, storage, uri, on_progress)
    seconds = time.perf_counter() - start
    complete = [t for t in load_study(storage, spec.name).get_trials() if t.state.name == "COMPLETE"]
    trials = [real_rmse(student_of(uri, spec.name, t.number), prepared.teacher, x) for t in complete]
    promoted = real_rmse(student_of(uri, spec.name), prepared.teacher, x)
    return {
        "dataset": dataset,
        "seed": seed,
        "tier": prepared.inputs.tier,
        "paper": real_rmse(student_of(uri, spec.name, name="baseline"), prepared.teacher, x),
        "best": promoted,
        "promoted": result.promoted.run,
        "correlation": float(spearmanr([t.value for t in complete], trials)[0]),
        "regret": promoted / min(trials) - 1,
        "trials": [
            {"trial": t.number, "objective": t.value, "real": real}
            | {k: t.user_attrs[k] for k in ("rmse", "stress_rmse")}
            | {"params": t.params}
            for t, real in zip(complete, trials, strict=True)
        ],
        "seconds": seconds,
    }


Published = Mapping[str, Mapping[str, float]]
"""Dataset -> method -> published RMSE."""
ENTRIES = {
    ("none", 50): "fidelity",
    ("correlation", 50): "fidelity_t4",
    ("mixture", 50): "fidelity_mixture",
    (PRIVATE, 50): "fidelity_private",
    ("none", 25): "fidelity_25",
}
"""What is declared and width of the students -> the entry of the published figures."""


def entries(rows: list[dict], published: Published, args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run of one tier and width publishes.

    Args:
        rows: what ``one`` returned, for every dataset and seed.
        published: the published students.
        args: tier, width, seeds, trials and steps.
    """
    datasets = list({row["dataset"]: None for row in rows})
    per = {name: [row for row in rows if row["dataset"] == name] for name in datasets}
    key = ENTRIES[args.tier, args.width]
    table, values = {("none", 50): full, ("none", 25): beside_paper}.get((args.tier, args.width), beside_direct)(
        per, published
    )
    budget = f"{args.trials} trials, finished students of {args.steps:,} steps"
    return {key: figures.Measured(args.seeds, budget, table, values, tier=rows[0]["tier"])}


def best(rows: Sequence[dict]) -> float:
    """Real RMSE of the study's student, mean over seeds."""
    return float(np.mean([row["best"] for row in rows]))


def hindsight(rows: Sequence[dict]) -> float:
    """Real RMSE of the study's best trial, mean over seeds."""
    return float(np.mean([min(trial["real"] for trial in row["trials"]) for row in rows]))


def geometric(ratios: Sequence[float]) -> float:
    return float(np.exp(np.log(ratios).mean()))


def full(per: Mapping[str, list[dict]], published: Published) -> tuple[dict[str, list], dict]:
    """Rows and values of the entry ``fidelity``, whose last column the benchmark ``ablation.py`` measures."""
    known = figures.load()["fidelity"]["rows"]
    table = {}
    for dataset, rows in per.items():
        anchor, deviation = published[dataset], float(np.std([row["best"] for row in rows]))
        direct, paper = anchor["direct_decreasing"], float(np.mean([row["paper"] for row in rows]))
        ratios = [best(rows) / direct, hindsight(rows) / direct, known[dataset][-1]]
        table[dataset] = [anchor["random"], direct, paper, [best(rows), deviation], *ratios]
    means = [geometric([cells[i] for cells in table.values()]) for i in (4, 5)]
    table["geometric mean"] = ["", "", "", "", *means, known["geometric mean"][-1]]
    every = [row for rows in per.values() for row in rows]
    ratio = {id(row): row["best"] / published[row["dataset"]]["direct_decreasing"] for row in every}
    seeds = sorted({row["seed"] for row in every})
    by_seed = [geometric([ratio[id(row)] for row in every if row["seed"] == seed]) for seed in seeds]
    regret = 100 * np.array([row["regret"] for row in every])
    return table, {
        "geometric_mean": round(means[0], 2),
        "geometric_mean_by_seed": ", ".join(f"{mean:.3f}" for mean in by_seed),
        "regret_median_percent": round(float(np.median(regret))),
        "regret_range_percent": f"{regret.min():.0f} to {regret.max():.0f}",
        "rank_correlation": round(float(np.mean([row["correlation"] for row in every])), 2),
    }


def beside_direct(per: Mapping[str, list[dict]], published: Published) -> tuple[dict[str, list], dict]:
    """Rows and values of an entry over the published direct optimization: a study that is told of its inputs."""
    return beside(per, {name: published[name]["direct_decreasing"] for name in per})


def beside_paper(per: Mapping[str, list[dict]], published: Published) -> tuple[dict[str, list], dict]:
    """Rows and values of an entry over our own run of the preset ``paper``, the mean of its seeds."""
    return beside(per, {name: float(np.mean([row["paper"] for row in rows])) for name, rows in per.items()})


def beside(per: Mapping[str, list[dict]], reference: Mapping[str, float]) -> tuple[dict[str, list], dict]:
    """Rows and values of an entry over a reference: of each dataset and of their geometric mean, mean and deviation over the seeds."""
    ratios = {name: [row["best"] / reference[name] for row in rows] for name, rows in per.items()}
    means = [float(np.mean(each)) for each in ratios.values()]
    by_seed = [geometric(each) for each in zip(*ratios.values(), strict=True)]
    cells = [[mean, float(np.std(each))] for mean, each in zip(means, ratios.values(), strict=True)]
    trials = [hindsight(rows) / reference[name] for name, rows in per.items()]
    geometric_mean = [geometric(means), float(np.std(by_seed))]
    return {"study": [*cells, geometric_mean]}, {"best_trials": round(geometric(trials), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", default="../shared", help="folder with data/, teachers/ and published.json")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--tier", choices=("none", *TIERS, PRIVATE), default="none", help="what is known of the inputs")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument(
        "--width", type=int, default=50, help="the student has the parameters of this width, one hidden layer"
    )
    parser.add_argument("--preset", help="of the study; default: that of the teacher's kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    figures.add_option(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if args.publish and (args.preset or (args.tier, args.width) not in ENTRIES):
        parser.error("--publish: no published entry has this tier, width and preset")
    torch.set_num_threads(args.threads)
    published = json.loads((Path(args.shared) / "published.json").read_text())["rmse_student_vs_teacher"]["table"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dataset in args.datasets:
            for seed in args.seeds:
                rows.append(one(dataset, args, Path(folder), seed))
                if args.json:
                    about = vars(args) | {"json": str(args.json)}
                    args.json.write_text(json.dumps({"arguments": about, "rows": rows}, indent=1))
    table = Table(
        title=f"RMSE student-vs-teacher on real test inputs; width {args.width}, {args.trials} trials of {args.steps} steps, "
        f"tier {rows[0]['tier']}, seeds {', '.join(map(str, args.seeds))}"
    )
    for column in (
        "dataset",
        "published random",
        "published direct",
        "preset paper",
        "study's student",
        "/ published direct",
        "/ preset paper",
        "rank correlation",
        "regret",
        "seconds",
    ):
        table.add_column(column, justify="left" if column == "dataset" else "right")
    ratios = []
    for dataset in args.datasets:
        mine = [row for row in rows if row["dataset"] == dataset]
        paper, mean, took, correlation, regret = (
            np.array([row[key] for row in mine]) for key in ("paper", "best", "seconds", "correlation", "regret")
        )
        anchor = published[dataset]
        ratios.append((mean.mean() / anchor["direct_decreasing"], mean.mean() / paper.mean()))
        spread = f" ± {mean.std():.4f}" if len(mine) > 1 else ""
        table.add_row(
            dataset,
            f"{anchor['random']:.4f}",
            f"{anchor['direct_decreasing']:.4f}",
            f"{paper.mean():.4f}",
            f"{mean.mean():.4f}{spread}",
            *(f"{ratio:.2f}" for ratio in ratios[-1]),
            f"{correlation.mean():.2f}",
            f"{regret.mean():.1%}",
            f"{took.mean():.0f}",
        )
    Console(width=150).print(table)
    to_published, to_paper = np.exp(np.log(ratios).mean(0))
    print(f"geometric mean over published direct: {to_published:.3f}; over the preset paper: {to_paper:.3f}")
    correlation, regret = np.mean([row["correlation"] for row in rows]), np.median([row["regret"] for row in rows])
    print(f"mean rank correlation of the objective with real fidelity: {correlation:.3f}; median regret: {regret:.1%}")
    if args.publish:
        figures.publish(entries(rows, published, args))


if __name__ == "__main__":
    main()
