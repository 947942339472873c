"""Convolutional students of the digits case, and how far they are from the same students on real images.

    python benchmarks/digits_students.py

Two convolutional teachers read the value of a digit: the shipped one, and one with batch normalization that
``studies/train_digits.py`` trains. Students have at most 1,000 parameters. The mean and deviation of every pixel are declared;
the normalized teacher tells by itself how pixels go together. The floor is the same recipe on real training images. Real test
images measure the students and choose nothing.
"""

from __future__ import annotations

import argparse
import importlib
from dataclasses import replace
from pathlib import Path

import figures
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.presets import ROUGH
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.base import Teacher, freeze
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.object_reference import importable_from
from dfkd_tune.utils.seeding import derive

STUDIES = Path(__file__).resolve().parent.parent / "studies"
importable_from(STUDIES)
train_digits = importlib.import_module("train_digits")
LARGEST = 1_000
FEATURES = STUDIES / "digits_features.yaml"
TEACHERS = ("shipped teacher", "batch normalization")
PRIORS = {"declared": "prior rows", "told": "prior rows as the teacher tells", "real": "real images"}
KINDS = ("conv2d", "mlp")


class RealImages(Inputs):
    """Real images in place of a prior, in its units: for the floor alone."""

    def __init__(self, declared: Inputs, x: Tensor) -> None:
        super().__init__(declared.features, axes=declared.axes)
        self.images = self.standardized(x)

    def quantile(self, u: Tensor) -> Tensor:
        """An image for each row of ``u``."""
        return self.images[(u[:, 0] * len(self.images)).long()].to(u)


def problems(digits: train_digits.Digits, epochs: int) -> dict[tuple[str, str], Problem]:
    """Teacher and prior -> problem."""
    split, declared = digits.split(0), read_features(FEATURES)
    images, made = digits.x[split["train"]], {}
    for name in TEACHERS:
        if name == TEACHERS[0]:
            teacher = load_teacher(STUDIES / "digits_teacher.pt2")
        else:
            network = train_digits.train(digits, split, 0, epochs, normalized=True)
            teacher = Teacher("normalized", freeze(network), torch.float32, "")
        told = with_inputs(teacher, FEATURES)[1]
        priors = {"declared": declared, "real": RealImages(declared, images)}
        priors |= {} if told.inferred is None else {"told": told}
        for prior, inputs in priors.items():
            made[name, prior] = Problem(teacher, inputs, probe(teacher, declared), pool_rows=16_384)
    return made


def errors(problem: Problem, kind: str, steps: int, seeds: list[int], x: Tensor) -> list[float]:
    """RMSE to the teacher on images ``x`` by seed."""
    student = STUDENTS[kind]()
    student = student.with_width(student.widest(problem.columns, problem.outputs, LARGEST))
    recipe = replace(ROUGH, student=student, steps=steps)
    outcomes = distill_all(problem, [Member(seed, recipe, derive(seed, kind)) for seed in seeds])
    with torch.no_grad():
        answers = problem.teacher(x)[:, 0]
        return [train_digits.rmse(problem.module(student, each.weights), x, answers) for each in outcomes]


def entries(found: dict[tuple[str, str], dict[str, float]], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes.

    Args:
        found: teacher and kind of student -> mean error by prior, a key of ``PRIORS``.
        args: seeds and steps.
    """
    rows = {}
    for (teacher, kind), mean in found.items():
        own = mean.get("told", mean["declared"])
        rows[f"`{kind}`, {teacher}"] = [own, mean["real"], own / mean["real"]]
    budget = f"one run of {args.steps:,} steps, at most {LARGEST:,} parameters"
    return {"digits_students": figures.Measured(args.seeds, budget, rows, tier="T2")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    figures.add_option(parser)
    parser.add_argument("--epochs", type=int, default=train_digits.EPOCHS, help="of the normalized teacher")
    args = parser.parse_args()
    torch.set_num_threads(1)
    digits = train_digits.Digits.load()
    x = digits.x[digits.split(0)["test"]]
    sheet = Table(
        title=f"RMSE to the teacher on {len(x)} real test images; {args.steps} steps, at most {LARGEST} parameters"
    )
    for column in ("teacher", "student", "rows", *map(str, args.seeds)):
        sheet.add_column(column)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (teacher, prior), problem in problems(digits, args.epochs).items():
        for kind in KINDS:
            mine = errors(problem, kind, args.steps, args.seeds, x)
            found.setdefault((teacher, kind), {})[prior] = float(np.mean(mine))
            sheet.add_row(teacher, kind, PRIORS[prior], *(f"{each:.3f}" for each in mine))
    console = Console(width=120)
    console.print(sheet)
    for (teacher, kind), mean in found.items():
        best = min(value for prior, value in mean.items() if prior != "real")
        console.print(f"{teacher}, {kind}: {best / mean['real']:.2f} times the floor on real images")
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
