"""The interface of a protocol: what it knows of a model, and how rows and answers are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from dfkd_tune.teachers.endpoints.client import Json


@dataclass(frozen=True)
class Description:
    """What an endpoint tells of its model.

    Args:
        names: names of its columns, if it takes named columns.
        width: number of features D, if it tells.
        dtype: dtype of rows.
        rows: number of rows that every request must have; None if any number is taken.
        facts: what identifies the model, as plain values.
    """

    names: Sequence[str] | None = None
    width: int | None = None
    dtype: torch.dtype = torch.float64
    rows: int | None = None
    facts: Any = None


class InferenceProtocol(Protocol):
    """Writes requests and reads answers."""

    @property
    def url(self) -> str:
        """Address of requests."""
        ...

    def describe(self) -> Description:
        """Ask the endpoint for what it tells of its model; may raise ``TeacherError``."""
        ...

    def bodies(self, rows: np.ndarray, names: Sequence[str] | None) -> list[Json]:
        """The request for rows ``(N, D)``, in every form that the endpoint may take, most likely first.

        Raises:
            ValueError: the rows cannot be written.
        """
        ...

    def answers(self, document: Json, rows: int) -> np.ndarray:
        """Outputs ``(N, O)`` in an answer for a number of rows.

        Raises:
            ValueError: the document holds something else.
        """
        ...


def whole(values: Sequence[Any]) -> list[Any]:
    """Values with whole numbers as int, which servers check for."""
    return [int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 2**53 else v for v in values]


def table(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Put arrays of numbers ``(N,)`` or ``(N, ...)`` beside each other as ``(N, O)``.

    Raises:
        ValueError: an array does not hold one finite or infinite number, or row of numbers, for each row.
    """
    made = []
    for column in columns:
        if column.dtype.kind not in "fiub":
            raise ValueError(f"numbers were expected, got {str(column.ravel()[:1].tolist())[:40]}")
        if column.ndim == 0 or len(column) != rows:
            raise ValueError(f"{rows} rows were expected, got the shape {column.shape}")
        made.append(column.reshape(rows, -1).astype(np.float64))
    if not made:
        raise ValueError("it holds no outputs")
    return np.concatenate(made, axis=1)
