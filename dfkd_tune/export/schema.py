"""What a student's file must know of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dfkd_tune.inputs.encoding import MISSING, Encoding
from dfkd_tune.training.raw_evaluation import ExportedStudent


@dataclass(frozen=True)
class InputSchema:
    """What a student's file must know of its inputs.

    Args:
        names: of the features, in order.
        encoding: of raw rows.
        rows: raw rows ``(N, D)`` as declared, in the dtype of its input, to compare answers on.
    """

    names: list[str]
    encoding: Encoding
    rows: Tensor

    @classmethod
    def of(cls, result: dict[str, Any]) -> InputSchema:
        """From a student's ``result.json``."""
        names = result["features"]
        levels = {names.index(name): _numbers(known) for name, known in result["levels"].items()}
        encoding = Encoding(result["center"], result["scale"], result["dtype"], levels)
        rows = [[math.nan if value is None else value for value in row] for row in result["example"]]
        return cls(names, encoding, torch.tensor(rows, dtype=encoding.torch_dtype))

    def student(self, answer: Callable[[Tensor], Tensor], parameters: int) -> ExportedStudent:
        """An exported student that takes such rows."""
        return ExportedStudent(answer, self.encoding.torch_dtype, parameters)


def _numbers(levels: list[float | str | None]) -> list[float | Literal["missing"]]:
    """Levels as the student's input holds them: words by their codes, a missing value last."""
    return [
        MISSING if level is None else float(code) if isinstance(level, str) else level
        for code, level in enumerate(levels)
    ]
