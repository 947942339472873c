"""The interface of a protocol: what it knows of a model, and how rows and answers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from dfkd_tune.layouts.signature import Signature
from dfkd_tune.teachers.endpoints.client import Json


@dataclass(frozen=True)
class Description:
    """What an endpoint declares of its model.

    Args:
        names: names of its columns, if it takes named columns.
        kinds: name of a column -> the name of its dtype, or ``string``, as far as they are known.
        signature: its arguments, if it takes an array ``(N, D)`` or several arrays; None if they are unknown.
        dtype: dtype of rows, for columns and flat rows.
        rows: number of rows that every request must have; None if any number is taken.
        facts: what identifies the model, as plain values.
    """

    names: Sequence[str] | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    signature: Signature | None = None
    dtype: torch.dtype = torch.float64
    rows: int | None = None
    facts: Any = None

    @property
    def width(self) -> int | None:
        """Number of features D of flat rows, if it is known."""
        if self.names is not None:
            return len(self.names)
        only = self.signature.arguments[0] if self.signature is not None and self.signature.flat else None
        return only.width if only is not None and only.shape is not None else None


@dataclass(frozen=True)
class Batch:
    """The rows of a request: a table, or the arguments of the model.

    Args:
        arrays: the table ``(N, D)`` alone, of numbers or objects; or an array ``(N, ...)`` an argument.
        names: names of the table's columns, None if they have none; or names of the arguments.
        table: whether it is a table.
    """

    arrays: tuple[np.ndarray, ...]
    names: Sequence[str] | None = None
    table: bool = True

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def width(self) -> int:
        """Number of values in a row."""
        return sum(array[:1].size for array in self.arrays)

    def rows(self, places: slice | np.ndarray) -> Batch:
        """Some of its rows."""
        return replace(self, arrays=tuple(array[places] for array in self.arrays))


class InferenceProtocol(Protocol):
    """Writes requests and reads answers."""

    @property
    def url(self) -> str:
        """Address of requests."""
        ...

    def describe(self) -> Description:
        """Request the description of the endpoint's model; may raise ``TeacherError``."""
        ...

    def bodies(self, batch: Batch) -> list[Json]:
        """The request for rows, in every form that the endpoint may take, most likely first.

        Raises:
            ValueError: the rows cannot be written.
        """
        ...

    def answers(self, document: Json, rows: int) -> dict[str, np.ndarray]:
        """The outputs ``(N, ...)`` by name in an answer for a number of rows, float64.

        Raises:
            ValueError: the document holds something else.
        """
        ...


def whole(values: Sequence[Any]) -> list[Any]:
    """Values with whole numbers as int, which servers check for."""
    return [int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 2**53 else v for v in values]


def numbers(output: Any, rows: int) -> np.ndarray:
    """An output ``(N, ...)`` as float64; JSON has no NaN, so that ``null`` is one.

    Raises:
        ValueError: it does not hold one number, or array of numbers, for each row.
    """
    array = np.asarray(output)
    if array.dtype.kind not in "fiub":
        other = [v for v in array.ravel().tolist() if v is not None and not isinstance(v, int | float)]
        if other or array.ndim == 0:
            raise ValueError(f"numbers were expected, got {str((other or [None])[:1])[:40]}")
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(f"{rows} rows were expected, got the shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"numbers were expected, got none, in the shape {array.shape}")
    return array.astype(np.float64)


def beside(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """Outputs ``(N, ...)`` beside each other as ``(N, O)``."""
    return np.concatenate([array.reshape(len(array), -1) for array in outputs.values()], axis=1)
