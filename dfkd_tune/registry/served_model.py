"""The code inside a registered model: it reads a user's table and returns the student's outputs.

A copy of this file lies in the model, beside ``MLmodel``, ``data/model.pt2`` and copies of the modules that it loads. It needs MLflow,
pandas and PyTorch, and loads no pickle. Columns are checked here and not by MLflow, which would reject integers for double columns and
reads CSV only as doubles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model, set_model
from mlflow.pyfunc.model import PythonModel


class Student(PythonModel):
    """A student that takes tables of raw values. Columns are matched by name, or by position if the features have no names."""

    def load_context(self, context: Any) -> None:
        """Load the network and the description of its columns."""
        folder = Path(__file__).parent
        about = Model.load(str(folder)).metadata
        assert about is not None  # written with the model
        self.frames = module_in(folder / "frame_rows.py")
        self.named: bool = about["named"]
        self.reader = self.frames.FrameReader(about["features"], about["levels"], about["gapped"], self.named)
        self.outputs: int = about["outputs"]
        self.dtype = getattr(torch, about["dtype"])
        self.module = torch.export.load(folder / "data" / "model.pt2").module()
        self.domain: dict[str, Any] | None = about["domain"]
        self.in_domain = None if self.domain is None else module_in(folder / "domain_rule.py").in_domain

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame | np.ndarray:
        """Outputs ``(N, O)`` in the teacher's units: a data frame with the input's index if the input is one, or if features have
        names; else an array. With ``params={"in_domain": True}`` a data frame with a further column ``in_domain``: whether a row is one
        that the declared inputs may have.

        Raises:
            MlflowException: a column is missing or holds an invalid value; HTTP status 400.
        """
        with refused(self.frames.FrameError):
            frame = self.frames.as_frame(model_input)
            x = self.reader.tensor(frame, self.dtype)
        with torch.no_grad():
            answers = self.module(x).numpy() if len(x) else np.empty((0, self.outputs))
        if self.in_domain is not None and (params or {}).get("in_domain"):
            return pd.DataFrame(answers, index=frame.index).assign(in_domain=self.in_domain(self.domain, x.numpy()))
        framed = self.named or isinstance(model_input, pd.DataFrame)
        return pd.DataFrame(answers, index=frame.index) if framed else answers

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw values ``(N, D)`` of a table, float64: text levels as their codes, missing values as NaN.

        Raises:
            MlflowException: a column is missing or holds an invalid value.
        """
        with refused(self.frames.FrameError):
            return self.reader.rows(frame)


@contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """Inside the block, an invalid table becomes MLflow's error for a caller; HTTP status 400."""
    try:
        yield
    except kind as error:
        raise MlflowException.invalid_parameter_value(str(error)) from None


def module_in(file: Path) -> Any:
    """The module in a file beside this one, which is in no package."""
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None  # written with the model
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


set_model(Student())
