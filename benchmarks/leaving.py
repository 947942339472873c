"""Students as they leave: bytes, flash and RAM, time and error of every format and precision, beside the teacher.

python benchmarks/leaving.py --publish        the quickstart's student, one of gated recurrent units, and those of other kinds in C

The second teacher is a GRU of 64 units over windows of 24 steps and 4 channels, with random weights. Of the other kinds, rbf has the
quickstart's teacher, conv1d the one over windows, and conv2d a convolutional network over images of 12 by 12 pixels, with random weights.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
import torch
from torch import Tensor, nn

import dfkd_tune as dt
from dfkd_tune.api.result import Result
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.c.compiler import fastest
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.executorch import ExecuTorch
from dfkd_tune.export.formats.npz.format import NumPy
from dfkd_tune.export.formats.onnx import ONNX
from dfkd_tune.export.formats.pt2 import PT2
from dfkd_tune.export.formats.safetensors import SafeTensors
from dfkd_tune.export.quantization import quantize
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.speed import TEACHER, Timing, called, measure
from dfkd_tune.training.raw_evaluation import RawEvaluator
from dfkd_tune.utils import hardware
from dfkd_tune.utils.seeding import stream

FORMS: dict[str, ExportFormat] = {
    "pt2": PT2(),
    "ONNX": ONNX(threads=1),
    "safetensors": SafeTensors(),
    "NumPy": NumPy(),
    "C": C(),
    "C without libm": C(libm=False),
    "ExecuTorch": ExecuTorch(),
}
PRECISIONS = ("float32", "bf16", "int8")
ROWS = (1, 1_000)
MACHINE = "Cortex-M4"
COLUMNS = ["bytes", "flash", "RAM", "one row, us", "a row of 1,000, ns", "RMSE added, %"]
STEPS, CHANNELS, UNITS = 24, 4, 64
SIDE = 12
"""Pixels of a side of an image."""


@dataclass(frozen=True)
class Leaving:
    """A student in one format and precision.

    Args:
        size: bytes of the file.
        flash, ram: bytes on a Cortex-M4; None of what does not run there.
        prepare: from raw rows to what answers them.
        rmse: RMSE to the teacher on the report bank.
    """

    size: int | None
    flash: int | None
    ram: int | None
    prepare: Any
    rmse: float


class Recurrent(nn.Module):
    """The teacher over windows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.out = nn.GRU(CHANNELS, UNITS, batch_first=True), nn.Linear(UNITS, 1)

    def forward(self, window: Tensor) -> Tensor:
        return self.out(self.cell(window)[0][:, -1])


def quickstart(trials: int, steps: int) -> Result:
    """The shipped study, as a user types it."""
    root = Path(__file__).parent.parent / "studies"
    about = {"max_parameters": 1151, "budget": {"steps": steps, "batch": 100}}
    return dt.tune(
        str(root / "quickstart_teacher.pt2"),
        features=str(root / "quickstart_features.yaml"),
        name="quickstart",
        n_trials=trials,
        **about,
    )


def convolutional() -> nn.Module:
    """The teacher over images."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(16, 16, 3), nn.Tanh()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 16, 1)).eval()


def of_kind(kind: str, teacher: Any, trials: int, steps: int, most: int, **given: Any) -> Result:
    """A study of students of one kind, of at most so many parameters."""
    return dt.tune(
        teacher,
        max_parameters=most,
        fixed={"student.kind": kind},
        name=kind,
        n_trials=trials,
        budget={"steps": steps, "batch": 100},
        search={"optimizer.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
        **given,
    )


def recurrent(trials: int, steps: int, kind: str = "gru") -> Result:
    """A study of students over windows."""
    windows = torch.zeros(2, STEPS, CHANNELS)
    return of_kind(kind, Recurrent().eval(), trials, steps, 1_000, example_inputs=windows)


def others(trials: int, steps: int) -> dict[str, Result]:
    """Studies of the students of the other kinds."""
    root = Path(__file__).parent.parent / "studies"
    features = str(root / "quickstart_features.yaml")
    image = torch.zeros(2, 1, SIDE, SIDE)
    return {
        "rbf": of_kind("rbf", str(root / "quickstart_teacher.pt2"), trials, steps, 1_151, features=features),
        "conv1d": recurrent(trials, steps, "conv1d"),
        "conv2d": of_kind("conv2d", convolutional(), trials, steps, 1_000, example_inputs=image),
    }


def forms(result: Result, kept: Mapping[str, ExportFormat] = FORMS) -> Iterator[tuple[str, Leaving]]:
    """The network itself, and every format and precision that the student can have."""
    module, about, _ = result._stored
    evaluator, units = result._evaluated, InputSchema.of(about)
    units = InputSchema(units.names, units.encoding, units.rows, domain=units.domain)  # all of them take rows
    parameters = sum(p.numel() for p in module.parameters())

    def rmse(answer: Any) -> float:
        return evaluator.fidelity(units.student(answer, parameters), "report").rmse

    yield "PyTorch", Leaving(None, None, None, called(module), rmse(module))
    for precision in PRECISIONS:
        small = module
        if precision != "float32":
            small = quantize(evaluator.fidelity, module, units, precision, math.inf)[0]
        for name, form in kept.items():
            if precision not in form.precisions:
                continue
            data = form.write(small, units)
            there = form.footprint(data).get(MACHINE)
            answer = form.read(data, small)
            prepare = fastest(data.decode("ascii")).repeated if isinstance(form, C) else called(answer)
            size = len(data) + sum(map(len, form.beside(data).values()))
            flash, ram = (None, None) if there is None else (there.flash, there.ram)
            yield (
                name if precision == "float32" else f"{name} {precision}",
                Leaving(size, flash, ram, prepare, rmse(answer)),
            )


def table(result: Result, kept: Mapping[str, ExportFormat] = FORMS) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The rows of the table, and how many times as fast as the others C is."""
    evaluator, units = result._evaluated, InputSchema.of(result._stored[1])
    found = dict(forms(result, kept))
    timings = timed(evaluator, units, found)
    plain = found["PyTorch"].rmse
    size = {TEACHER: teacher_size(evaluator)} | {name: each.size for name, each in found.items()}
    rows = {}
    for name in timings:
        one, many = timings[name]
        each = found.get(name)
        added = "-" if each is None else f"{100 * (each.rmse / plain - 1):.1f}"
        bytes_there = ["-", "-"] if each is None or each.flash is None else [f"{each.flash:,}", f"{each.ram:,}"]
        shown = "-" if size[name] is None else f"{size[name]:,}"
        rows[name] = [shown, *bytes_there, f"{one.median:.3g}", f"{many.median:.3g}", added]
    c = timings["C"][0].median
    named = {"pytorch": "PyTorch", "onnxruntime": "ONNX", "teacher": TEACHER}
    return rows, {key: timings[name][0].median / c for key, name in named.items() if name in timings}


def in_c(trials: int, steps: int) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The rows of the students of the other kinds in C, without those of teacher and network."""
    kept = {name: form for name, form in FORMS.items() if isinstance(form, C)}
    made = {kind: table(result, kept)[0] for kind, result in others(trials, steps).items()}
    return {
        f"{kind}: {row}": cells for kind, rows in made.items() for row, cells in rows.items() if row.startswith("C")
    }, {}


def timed(evaluator: RawEvaluator, units: InputSchema, found: dict[str, Leaving]) -> dict[str, list[Timing]]:
    """Timings of each, for one row and for 1,000, all taking turns."""
    z = evaluator.inputs.draw(max(ROWS), stream(0, "leaving")).float()
    raw = evaluator.inputs.raw
    rows = [(raw(z[:n], evaluator.teacher.dtype), raw(z[:n], units.encoding.torch_dtype)) for n in ROWS]
    timings = measure(called(evaluator.teacher.function), {name: each.prepare for name, each in found.items()}, rows)
    by_name: dict[str, list[Timing]] = {}
    for each in timings:
        by_name.setdefault(each.runtime, []).append(each)
    return by_name


def teacher_size(evaluator: RawEvaluator) -> int | None:
    """Bytes of the teacher's file."""
    file = Path(evaluator.teacher.source)
    return file.stat().st_size if file.exists() else None


def measured(rows: dict[str, list[str]], ratios: dict[str, float], budget: str) -> figures.Measured:
    """What is published of one student."""
    values = {name: round(value, 1) for name, value in ratios.items()}
    return figures.Measured([0], budget, rows, values, machine=hardware.name())


STUDIES: dict[str, tuple[Callable[[int, int], tuple[dict[str, list[str]], dict[str, float]]], int, int]] = {
    "leaving_quickstart": (lambda trials, steps: table(quickstart(trials, steps)), 20, 6_000),
    "leaving_gru": (lambda trials, steps: table(recurrent(trials, steps)), 4, 1_000),
    "leaving_kinds": (in_c, 4, 1_000),
}
"""Entry -> its table by the number of trials and the steps of each; these numbers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=STUDIES, help="one of the tables")
    figures.add_option(parser)
    args = parser.parse_args()
    for key, (make, trials, steps) in STUDIES.items():
        if args.only not in (None, key):
            continue
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows, ratios = make(trials, steps)
        print(key, *COLUMNS, sep=" | ")
        for name, cells in rows.items():
            print(name, *cells, sep=" | ")
        print({name: round(value, 1) for name, value in ratios.items()}, flush=True)
        if args.publish:
            figures.publish({key: measured(rows, ratios, f"{trials} trials, finished students of {steps:,} steps")})


if __name__ == "__main__":
    main()
