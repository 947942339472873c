"""The digits case: random sampling, an adversarial generator and direct optimization on image regression.

    python benchmarks/digits.py

A convolutional teacher of the digit's value is distilled into a smaller network by each method at its published
hyper-parameters, from the mean and deviation of every pixel alone. Each student is an MLflow run, with a sheet of the images
that its generator made last. Real test images measure the students and choose nothing. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import importlib
import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.locations.paths import home, sqlite_url
from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER, RANDOM
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.tracking.tracker import Tracker
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware
from dfkd_tune.utils.object_reference import importable_from
from dfkd_tune.utils.seeding import derive, stream

STUDIES = Path(__file__).resolve().parent.parent / "studies"
importable_from(STUDIES)
train_digits = importlib.import_module("train_digits")
EXPERIMENT = "digits-generators"
METHODS = {"random": RANDOM, "adversarial": ADVERSARIAL, "direct": PAPER}
TITLES = {"random": "random sampling", "adversarial": "adversarial generator", "direct": "direct optimization"}
COLUMNS, ROWS, ZOOM, GAP = 10, 5, 6, 6


class Watched:
    """A teacher's function that keeps the last raw rows it was asked: a step's last question is what its generators made."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function, self.rows = function, torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.rows = x.detach()
        return self.function(x)


def contact_sheet(images: Tensor) -> bytes:
    """A PNG of the first images ``(N, 64)``, ``ROWS`` by ``COLUMNS``, ink on paper."""
    side, cell = train_digits.SIDE, train_digits.SIDE * ZOOM + GAP
    sheet = np.full((ROWS * cell + GAP, COLUMNS * cell + GAP), 200, dtype=np.uint8)
    shades = (255 * (1 - images / train_digits.BRIGHTEST)).round().clamp(0, 255).byte().numpy()
    for i, image in enumerate(shades[: ROWS * COLUMNS]):
        y, x = GAP + i // COLUMNS * cell, GAP + i % COLUMNS * cell
        sheet[y : y + side * ZOOM, x : x + side * ZOOM] = np.kron(image.reshape(side, side), np.ones((ZOOM, ZOOM)))
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return file.getvalue()


def rmse(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())


def entries(rows: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run of two seeds publishes: RMSE to the teacher by seed, and seconds of a student.

    Args:
        rows: a row a method and seed, as ``main`` collects them.
        args: seeds and steps.
    """
    table = {}
    for method, shown in TITLES.items():
        mine = [row for row in rows if row["method"] == method]
        table[shown] = [*(f"{row['rmse_teacher']:.2f}" for row in mine), f"{mine[0]['seconds']:.0f}"]
    return {"digits": figures.Measured(args.seeds, f"{args.steps:,} steps", table, tier="T2", machine=hardware.name())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--split", type=int, default=0, help="seed of the split that the teacher was trained on")
    parser.add_argument("--tracking-uri", help="MLflow; default mlruns/mlflow.db; 'none' for no records")
    parser.add_argument("--out", type=Path, help="folder that also takes the sheets")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    uri = None if args.tracking_uri == "none" else args.tracking_uri or sqlite_url(home() / "mlflow.db")
    tracker = Tracker(uri, EXPERIMENT) if uri else None
    if tracker:
        tracker.open_study({"steps": args.steps}, {})
    teacher, inputs = load_teacher(STUDIES / "digits_teacher.pt2"), read_features(STUDIES / "digits_features.yaml")
    watched = Watched(teacher.function)
    teacher = replace(teacher, function=watched)
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=16_384)
    digits = train_digits.Digits.load()
    test = digits.split(args.split)["test"]
    x, goal = digits.x[test], digits.y[test]
    with torch.no_grad():
        answers = teacher(x)[:, 0]
    sheet = Table(title=f"RMSE on {len(x)} real test images, in units of the digit; {args.steps} steps")
    for column in ("method", "seed", "against the teacher", "against labels", "on the selection bank", "seconds"):
        sheet.add_column(column, justify="left" if column == "method" else "right")
    sheet.add_row("teacher", "", "", f"{rmse(answers, goal):.3f}", "", "")
    rows = []
    for name, preset in METHODS.items():
        recipe = replace(preset, student=STUDENTS["module"](path="digits_student:cnn"), steps=args.steps)
        population, start = Population(problem), time.process_time()
        # Random sampling asks nothing along the way: its images are prior rows.
        watched.rows = prior = inputs.draw(ROWS * COLUMNS, stream(0, "sheet")) * inputs.scale + inputs.center
        for seed in args.seeds:
            population.admit(Member(seed, recipe, derive(seed, name)))
            if tracker:
                params = recipe.leaves() | {"method": name, "seed": seed}
                tracker.open_run(f"{name}-seed{seed}", "benchmark", params, {"dfkd.tier": inputs.tier})
        while any(not member.finished for member in population.members):
            population.advance()
        seconds = (time.process_time() - start) / len(args.seeds)
        made = [prior] * len(args.seeds) if watched.rows is prior else watched.rows.chunk(len(args.seeds))
        for member, images in zip(population.members, made, strict=True):
            with torch.no_grad():
                out = problem.module(recipe.student, member.result())(x)[:, 0]
            bank = population.fidelity(member, problem.banks["selection"]).rmse
            found = {
                "rmse_teacher": rmse(out, answers),
                "rmse_labels": rmse(out, goal),
                "rmse": bank,
                "seconds": seconds,
            }
            sheet.add_row(name, str(member.key), *(f"{value:.3f}" for value in found.values()))
            rows.append({"method": name, "seed": member.key} | found)
            picture = contact_sheet(images)
            if tracker:
                tracker.close_run(
                    f"{name}-seed{member.key}", "FINISHED", found, {}, member.curve, {"synthetic/images.png": picture}
                )
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                (args.out / f"{name}-seed{member.key}.png").write_bytes(picture)
    if tracker:
        tracker.close_study("FINISHED", {}, {})
    Console(width=110).print(sheet)
    if args.publish:
        figures.publish(entries(rows, args))


if __name__ == "__main__":
    main()
