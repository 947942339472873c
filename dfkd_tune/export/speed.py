"""How fast a student is beside its teacher: all of them in turn, in one run, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.arrays import arrays_of
from dfkd_tune.export.formats.c.compiler import fastest
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.onnx import ONNX
from dfkd_tune.export.formats.pt2 import PT2
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.layouts.row_form import RowForm
from dfkd_tune.utils import hardware

TEACHER = "teacher"
ROUNDS, LEAST_ROUNDS = 50, 5
"""Turns that each of them has, at most and at least."""
ROUND_S, LIMIT_S = 2e-3, 1.0
"""Seconds that one turn takes about, and that all turns of one of them may take for one number of rows."""

IN_C = {"C": C(), "C without libm": C(libm=False)}
"""Runtime -> the format of what is compiled for it."""
RUNTIMES = ("PyTorch", "pt2", "onnxruntime", *IN_C)
"""What a student can run in, by name."""

Run = Callable[[int], object]
"""Answers the same rows so many times."""


@dataclass(frozen=True)
class Timing:
    """How long one call takes.

    Args:
        runtime: ``teacher``, or what the student runs in.
        rows: number of rows of a call.
        median, low, high: microseconds of a call: median and quartiles over turns.
        faster: how many times the teacher's median is this one.
    """

    runtime: str
    rows: int
    median: float
    low: float
    high: float
    faster: float


def runtimes(module: nn.Module, schema: InputSchema) -> dict[str, Callable[[Tensor], Run]]:
    """What a student can run in here, by name: a function from raw rows ``(N, D)`` to what answers them.

    Args:
        module: network from raw rows to raw outputs.
        schema: schema of its inputs. All runtimes take rows, also where the teacher has other arguments.
    """
    usable = [name for name in RUNTIMES if missing(name) is None and (name not in IN_C or _has_arrays(module))]
    return {name: runtime(name, module, schema) for name in usable}


def runtime(name: str, module: nn.Module, schema: InputSchema) -> Callable[[Tensor], Run]:
    """One of the runtimes: a function from raw rows ``(N, D)`` to what answers them.

    Args:
        name: one of ``RUNTIMES`` that is not ``missing``.
        module, schema: as in ``runtimes``.

    Raises:
        ExportError: the student cannot be exported for it.
    """
    flat = replace(schema, layout=None, form=RowForm())
    if name in IN_C:
        return fastest(IN_C[name].write(module, flat).decode("ascii")).repeated
    form = {"pt2": PT2(), "onnxruntime": ONNX(threads=1)}.get(name)
    return called(module if form is None else form.read(form.write(module, flat), module))


def missing(name: str) -> str | None:
    """Why a runtime cannot be used here; None if it can."""
    if name == "onnxruntime":
        lacks = [package for package in ONNX.packages if find_spec(package) is None]
        return f"the package {lacks[0]} is not installed; pip install {ONNX.packages[lacks[0]]}" if lacks else None
    return IN_C[name].unread() if name in IN_C else None


def one_row(prepare: Callable[[Tensor], Run], row: Tensor) -> float:
    """Median microseconds of a call with one raw row ``(1, D)``, on one thread."""
    with hardware.threads(1), torch.inference_mode():
        return 1e6 * float(np.median(_in_turn({"": prepare(row)})[""]))


def called(function: Callable[[Tensor], object]) -> Callable[[Tensor], Run]:
    """A function of rows as one that is called once for each answer."""

    def prepared(rows: Tensor) -> Run:
        def run(times: int) -> None:
            for _ in range(times):
                function(rows)

        return run

    return prepared


def measure(
    teacher: Callable[[Tensor], Run],
    students: Mapping[str, Callable[[Tensor], Run]],
    rows: Sequence[tuple[Tensor, Tensor]],
) -> list[Timing]:
    """Time teacher and students in turn.

    Args:
        teacher: from raw rows to what answers them.
        students: the same of each runtime, as ``runtimes`` has them.
        rows: raw rows for the teacher and the same for the students, for each number of rows.
    """
    found = []
    with hardware.threads(1), torch.inference_mode():
        for theirs, ours in rows:
            runs = {TEACHER: teacher(theirs)} | {name: prepare(ours) for name, prepare in students.items()}
            seconds = {name: np.array(each) for name, each in _in_turn(runs).items()}
            usual = float(np.median(seconds[TEACHER]))
            for name, each in seconds.items():
                low, median, high = (1e6 * np.quantile(each, (0.25, 0.5, 0.75))).tolist()
                found.append(Timing(name, len(ours), median, low, high, 1e6 * usual / median))
    return found


def _in_turn(runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Seconds of a call, for every turn. All take turns, so that a busy moment of the machine is nobody's own."""
    times, seconds, spent = {}, {name: [] for name in runs}, dict.fromkeys(runs, 0.0)
    for name, run in runs.items():
        _timed(run, 1)  # the first call is slower
        times[name] = max(1, round(ROUND_S / max(_timed(run, 1), 1e-9)))
        times[name] = max(1, round(ROUND_S * times[name] / max(_timed(run, times[name]), 1e-9)))
    for turn in range(ROUNDS):
        for name, run in runs.items():
            if turn < LEAST_ROUNDS or spent[name] < LIMIT_S:
                took = _timed(run, times[name])
                spent[name] += took
                seconds[name].append(took / times[name])
    return seconds


def _timed(run: Run, times: int) -> float:
    start = time.perf_counter()
    run(times)
    return time.perf_counter() - start


def _has_arrays(module: nn.Module) -> bool:
    try:
        arrays_of(module, "--format c")
    except ExportError:
        return False
    return True
