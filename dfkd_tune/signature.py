"""What a registered model says of its inputs: columns by name where the features are named, else one tensor; and an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .exporting import Units


def example(result: dict[str, Any]) -> np.ndarray:
    """Two raw rows of the declared prior, as the student takes them: none is a real one."""
    return Units.of(result).rows[:2].numpy()


def named(names: list[str]) -> bool:
    """Whether the features were given names; ``x0``, ``x1``, ... are none."""
    return names != [f"x{i}" for i in range(len(names))]


def tensors(features: int, outputs: int):
    """The signature ``(N, D) -> (N, O)``, float32."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, answers = (Schema([TensorSpec(np.dtype(np.float32), (-1, width))]) for width in (features, outputs))
    return ModelSignature(inputs=inputs, outputs=answers)


def by_name(folder: Path, names: list[str], rows: np.ndarray) -> None:
    """Give a saved model columns by name, and an example that has them; MLflow's ``.pt2`` format saves tensors alone.

    Columns are doubles, as data frames mostly hold: MLflow would refuse them where float32 is declared, and casts them here.
    """
    import pandas as pd
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.models.utils import _save_example
    from mlflow.types import ColSpec, Schema

    model = Model.load(str(folder))
    columns = Schema([ColSpec("double", name) for name in names])
    model.signature = ModelSignature(inputs=columns, outputs=model.signature.outputs)
    _save_example(model, pd.DataFrame(rows.astype(np.float64), columns=names), str(folder))
    model.save(str(folder / "MLmodel"))
