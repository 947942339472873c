"""The synthetic rows that are kept beside a student, to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from .distillation import Outcome
from .problem import Problem

FOLDER = "synthetic"
FILE = "rows.safetensors"


def synthetic_file(problem: Problem, outcome: Outcome) -> dict[str, bytes]:
    """``synthetic/rows.safetensors`` with ``x``, ``(N, D)`` in raw units; nothing where the recipe makes no rows."""
    if outcome.synthetic is None:
        return {}
    inputs = problem.inputs
    x = outcome.synthetic.double() * inputs.scale + inputs.center
    return {f"{FOLDER}/{FILE}": save({"x": x.float().contiguous()})}


def read_synthetic(problem: Problem, folder: Path) -> Tensor:
    """The rows of such a file again, ``(N, D)`` standardized."""
    x = load((folder / FILE).read_bytes())["x"]
    return ((x.double() - problem.inputs.center) / problem.inputs.scale).to(torch.float32)
