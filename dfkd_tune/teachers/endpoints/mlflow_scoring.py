"""The protocol of MLflow's scoring servers: ``POST /invocations``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dfkd_tune.teachers.endpoints.client import Client, Json
from dfkd_tune.teachers.endpoints.protocols import Batch, Description, numbers, whole

OUTPUT = "output"
"""Name of an output without one."""


class MlflowScoring:
    """A scoring server, which does not describe its model.

    Args:
        client: sends requests.
        url: address of requests.
        base: address of the server.
    """

    def __init__(self, client: Client, url: str, base: str) -> None:
        self.client, self.url, self.base = client, url, base

    def describe(self) -> Description:
        """Nothing is asked: a version of MLflow identifies no model."""
        return Description()

    def bodies(self, batch: Batch) -> list[Json]:
        """A data frame where columns have names, and arrays for models that take tensors."""
        if not batch.table:
            given = {name: _tensor(array) for name, array in zip(batch.names or (), batch.arrays, strict=True)}
            return [{"inputs": given}, *({"inputs": only} for only in given.values() if len(given) == 1)]
        rows, names = batch.arrays[0], batch.names
        columns = [rows[:, i].tolist() for i in range(rows.shape[1])]
        words = any(isinstance(value, str) or value is None for column in columns for value in column)
        _finite(columns)
        frame = [_column(column) for column in columns]
        split = {"columns": [*(names or ())], "data": [list(row) for row in zip(*frame, strict=True)]}
        forms: list[Json] = [{"dataframe_split": split}] if names is not None else []
        gaps = any(value is None for column in frame for value in column)
        return forms if words or gaps else [*forms, {"inputs": rows.astype(np.float64).tolist()}]

    def answers(self, document: Json, rows: int) -> dict[str, np.ndarray]:
        found = document.get("predictions") if isinstance(document, dict) else None
        if found is None:
            raise ValueError("it holds no predictions")
        if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
            if any(row.keys() != found[0].keys() for row in found):
                raise ValueError("its rows have different outputs")
            found = {key: [row[key] for row in found] for key in found[0]}
        if not isinstance(found, dict):
            return {OUTPUT: numbers(found, rows)}
        if not found:
            raise ValueError("it holds no outputs")
        return {str(name): numbers(column, rows) for name, column in found.items()}


def _tensor(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("missing and infinite numbers cannot be sent in tensors")
    return array.tolist()


def _finite(columns: Sequence[Sequence[Any]]) -> None:
    if any(isinstance(value, float) and math.isinf(value) for column in columns for value in column):
        raise ValueError("infinite numbers cannot be sent")


def _column(values: Sequence[Any]) -> list[Any]:
    """A column of a data frame as JSON: null where a value is missing, and no fractions in whole columns."""
    shown = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    numbers = [value for value in shown if isinstance(value, float)]
    return whole(shown) if all(value.is_integer() for value in numbers) else shown
