"""The protocol of MLflow's scoring servers: ``POST /invocations``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dfkd_tune.teachers.endpoints.client import Client, Json
from dfkd_tune.teachers.endpoints.protocols import Description, table, whole


class MlflowScoring:
    """A scoring server, which tells nothing of its model.

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

    def bodies(self, rows: np.ndarray, names: Sequence[str] | None) -> list[Json]:
        """A data frame where columns have names, and an array for models that take tensors."""
        columns = [rows[:, i].tolist() for i in range(rows.shape[1])]
        words = any(isinstance(value, str) or value is None for column in columns for value in column)
        _finite(columns)
        frame = [_column(column) for column in columns]
        split = {"columns": [*(names or ())], "data": [list(row) for row in zip(*frame, strict=True)]}
        forms: list[Json] = [{"dataframe_split": split}] if names is not None else []
        gaps = any(value is None for column in frame for value in column)
        return forms if words or gaps else [*forms, {"inputs": rows.astype(np.float64).tolist()}]

    def answers(self, document: Json, rows: int) -> np.ndarray:
        found = document.get("predictions") if isinstance(document, dict) else None
        if found is None:
            raise ValueError("it holds no predictions")
        if isinstance(found, dict):
            return table([np.asarray(column) for column in found.values()], rows)
        if found and all(isinstance(row, dict) for row in found):
            keys = [*found[0]]
            return table([np.asarray([row[key] for row in found]) for key in keys], rows)
        return table([np.asarray(found)], rows)


def _finite(columns: Sequence[Sequence[Any]]) -> None:
    if any(isinstance(value, float) and math.isinf(value) for column in columns for value in column):
        raise ValueError("infinite numbers cannot be sent")


def _column(values: Sequence[Any]) -> list[Any]:
    """A column of a data frame as JSON: null where a value is missing, and no fractions in whole columns."""
    shown = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    numbers = [value for value in shown if isinstance(value, float)]
    return whole(shown) if all(value.is_integer() for value in numbers) else shown
