"""Synthetic rows stored beside a student for inspection."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from dfkd_tune.training.distill import Outcome
from dfkd_tune.training.problem import Problem

FOLDER = "synthetic"
FILE = "rows.safetensors"


def synthetic_file(problem: Problem, outcome: Outcome) -> dict[str, bytes]:
    """``synthetic/rows.safetensors`` with ``x``, ``(N, D)`` in raw units; empty if the recipe makes no synthetic rows."""
    if outcome.synthetic is None:
        return {}
    return {
        f"{FOLDER}/{FILE}": save(
            {"x": problem.inputs.raw(outcome.synthetic, problem.encoder.encoding.torch_dtype).contiguous()}
        )
    }


def read_synthetic(problem: Problem, folder: Path) -> Tensor:
    """Read the rows of that file, ``(N, D)`` standardized."""
    return problem.inputs.standardized(load((folder / FILE).read_bytes())["x"]).float()
