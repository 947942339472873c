"""MLflow models with a signature of named columns: they are asked with data frames, with the dtypes of the signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.table_model import TableModel

NUMBERS = ("boolean", "integer", "long", "float", "double")
"""Types of columns of numbers."""
WORDS = "string"
"""The type, and the kind, of a column of words."""


class ColumnModel(TableModel):
    """A model that takes named columns.

    Args:
        source: its source, for messages.
        loaded: the model; its ``predict`` takes data frames.
        columns: its columns, MLflow's ``Schema``.

    Raises:
        TeacherError: a column holds neither numbers nor words.
    """

    def __init__(self, source: object, loaded: Any, columns: Any) -> None:
        self.loaded = loaded
        types = dict(zip(columns.input_names(), columns.input_types(), strict=True))
        names = {name: str(getattr(kind, "name", kind)) for name, kind in types.items()}
        for name, kind in names.items():
            if kind not in (*NUMBERS, WORDS):
                rule = f"takes the column {name} of {kind}; a teacher takes columns of {', '.join((*NUMBERS, WORDS))}"
                raise TeacherError(source, rule, remedy="log a model that takes numbers and words")
        self.dtypes = {
            name: np.dtype(object if kind == WORDS else types[name].to_numpy()) for name, kind in names.items()
        }
        self.feature_names_in_ = np.array([*names], dtype=object)
        self.n_features_in_ = len(names)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Name of a column -> the name of its dtype, or ``string``."""
        return {name: WORDS if dtype.kind == "O" else dtype.name for name, dtype in self.dtypes.items()}

    def predict(self, rows: Any) -> Any:
        """Outputs for a data frame, or for an array ``(N, D)`` in the order of the columns."""
        import pandas as pd

        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=self.feature_names_in_)
        whole = {
            n: d
            for n, d in self.dtypes.items()
            if d.kind != "O" and (d.kind == "f" or not bool(frame[n].isna().to_numpy().any()))
        }
        return self.loaded.predict(frame.astype(whole))
