"""Untrained students of every built-in architecture and encoding, and rows for them."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.kinds import STUDENTS

COLUMNS = {
    None: Columns(13),
    "window": Columns(13, "window", [6, 3], [i for step in range(6) for i in (step, 6 + step, 12)]),
    "grid": Columns(13, "grid", [2, 3, 3], [i for pixel in range(6) for i in (pixel, 6 + pixel, 12)]),
}
PLAIN = Encoding([float(i) for i in range(13)], [2.0] * 13)
CASES = [
    *(pytest.param("mlp", {"activation": each}, id=each) for each in ("tanh", "relu", "silu", "gelu", "elu")),
    pytest.param("mlp", {"depth": 3}, id="deep"),
    *(pytest.param(kind, {}, id=kind) for kind in ("rbf", "gru", "conv1d", "conv2d")),
    pytest.param("conv1d", {"layers": 1, "kernel": 4}, id="conv1d-even"),
    pytest.param("conv2d", {"kernel": 4}, id="conv2d-even"),
]


def made(kind: str, encoding: Encoding = PLAIN, columns: Columns | None = None, **options) -> nn.Module:
    student = dataclasses.replace(STUDENTS[kind](), width=5, **options)
    columns = columns or COLUMNS[student.takes]
    weights = student.init_params(columns, 2, torch.Generator().manual_seed(0), torch.float64)
    shift, spread = torch.tensor([7.0, -1.0]).double(), torch.tensor([0.1, 4.0]).double()
    return student.module(weights, columns, encoding, shift, spread)


def schema(encoding: Encoding = PLAIN, **given) -> InputSchema:
    center, scale = (torch.tensor(each) for each in (encoding.center, encoding.scale))
    rows = center + scale * torch.randn(64, len(center), generator=torch.Generator().manual_seed(1))
    names = [f"x{i}" for i in range(len(center))]
    return InputSchema(names, encoding, rows.to(encoding.torch_dtype), **given)


LEVELS = {
    "words": Encoding([0.0, 1.0, 5.0], [1.0, 1.0, 2.0], "float32", {1: [0.0, 1.0, 2.0]}),
    "gaps": Encoding([0.0, 1.0, 5.0], [1.0, 1.0, 2.0], "float32", {0: [1.0, 4.0, "missing"]}, [2]),
    "levels alone": Encoding([0.0, 1.0], [1.0, 1.0], "float32", {0: [1.0, 2.0], 1: ["missing"]}),
    "far": Encoding([1e9, 1.0, 5.0], [1.0, 1.0, 2.0], "float64", {1: [1e9, 1e9 + 2, "missing"]}, [0]),
    "wide": Encoding([1e9, 1.0], [1.0, 1.0], "float64"),
}


def rows_of(encoding: Encoding) -> torch.Tensor:
    """Rows ``(500, D)`` with values beside levels, and missing ones."""
    rng = torch.Generator().manual_seed(0)
    x = torch.tensor(encoding.center) + 3 * torch.randn(500, len(encoding.center), generator=rng, dtype=torch.float64)
    for i, levels in encoding.levels.items():
        numbers = [math.nan if each == "missing" else each for each in levels]
        picked = torch.tensor(numbers, dtype=torch.float64)[torch.randint(len(levels), (500,), generator=rng)]
        x[:, i] = picked + 0.3 * torch.randn(500, generator=rng)
    for i in encoding.gapped:
        x[::3, i] = math.nan
    return x.to(encoding.torch_dtype)
