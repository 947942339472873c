"""A finished student in a file: its weights for every fold, from which any process takes it into a committee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from dfkd_tune.errors import StorageError
from dfkd_tune.locations.files import write
from dfkd_tune.students.base import Student


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
    def read(cls, file: Path, student: Student) -> FinishedStudent:
        """The student of an architecture whose weights a file holds."""
        tensors, folds = load_file(file), []
        while f"{len(folds)}.0" in tensors:
            layers = sum(name.startswith(f"{len(folds)}.") for name in tensors)
            folds.append([tensors[f"{len(folds)}.{i}"] for i in range(layers)])
        return cls(student, folds)

    def weights(self, fold: int) -> Sequence[Tensor] | None:
        """Weights of the student that no row was shown that is held out of a fold; None if there is none."""
        return self.folds[fold] if fold < len(self.folds) else None


def keep(file: Path, folds: Sequence[Sequence[Tensor]]) -> None:
    """Write the weights of a student for every fold into a file.

    Raises:
        StorageError: it cannot be written.
    """
    named = {f"{fold}.{i}": weight for fold, weights in enumerate(folds) for i, weight in enumerate(weights)}
    write(file, save({name: weight.cpu().contiguous() for name, weight in named.items()}), StorageError)
