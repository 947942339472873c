"""A finished student in a file: its weights for every fold, from which any process takes it into a committee."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dfkd_tune.errors import StorageError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.locations.files import write
from dfkd_tune.students.base import Student

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedStudent:
    """A student of a trial that has ended.

    Args:
        student: its architecture.
        folds: its weights for each fold that its trial trained a student for.
    """

    student: Student
    folds: Sequence[Sequence[Tensor]] = field(repr=False)

    @classmethod
    def read(
        cls, file: Path, student: Student, columns: Columns, outputs: int, dtype: torch.dtype
    ) -> FinishedStudent | None:
        """The student whose weights a file holds; None if there is no such file, or it is damaged, which is logged.

        Args:
            file: a file that ``keep`` wrote.
            student, columns, outputs: architecture, how the student's inputs are arranged, and number of outputs.
            dtype: dtype of its weights.
        """
        shapes = [tuple(shape) for shape in student.shapes(columns, outputs)]
        try:
            tensors, folds = load_file(file), []
            for fold in range(len(tensors) // len(shapes) or 1):
                folds.append([tensors.pop(f"{fold}.{i}") for i in range(len(shapes))])
            if tensors or not all(_is_whole(each, shapes, dtype) for each in folds):
                raise KeyError
        except FileNotFoundError:
            return None
        except (OSError, KeyError, SafetensorError):
            _tell(file)
            return None
        return cls(student, folds)

    def weights(self, fold: int) -> Sequence[Tensor] | None:
        """Weights of the student that no row was shown that is held out of a fold; None if there is none."""
        return self.folds[fold] if fold < len(self.folds) else None


def _is_whole(weights: Sequence[Tensor], shapes: Sequence[tuple[int, ...]], dtype: torch.dtype) -> bool:
    there = [(tuple(w.shape), w.dtype) for w in weights] == [(shape, dtype) for shape in shapes]
    return there and all(bool(w.isfinite().all()) for w in weights)


@cache
def _tell(file: Path) -> None:
    """Log a damaged file once in a process."""
    LOG.warning("%s does not hold the student of its trial: it is left out of committees", file)


def keep(file: Path, folds: Sequence[Sequence[Tensor]]) -> None:
    """Write the weights of a student for every fold into a file.

    Raises:
        StorageError: it cannot be written.
    """
    named = {f"{fold}.{i}": weight for fold, weights in enumerate(folds) for i, weight in enumerate(weights)}
    write(file, save({name: weight.cpu().contiguous() for name, weight in named.items()}), StorageError)
