"""Write an MLflow model: the network for PyTorch, and the code that takes data frames."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dfkd_tune.compat.mlflow import save_example
from dfkd_tune.ops.pt2_archive import MACHINE_METADATA
from dfkd_tune.utils.markdown import escaped

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature

CODE = Path(__file__).with_name("served_model.py")
"""The code inside the model; it runs without this package."""
NOTE = 4000
"""Largest number of characters in a model's note."""


def save(folder: Path, student: nn.Module, result: dict[str, Any], model: Model) -> None:
    """Write a student as an MLflow model: flavors ``pytorch`` and ``python_function``, no pickle.

    Its signature declares only the outputs. MLflow checks a table against declared inputs before the model gets it: with double
    columns it rejects integers, ``bool`` and nullable columns, and with any other type it rejects CSV. The columns are described in
    the model's metadata, example and note instead.

    Args:
        folder: directory to create.
        student: network in evaluation mode from raw rows to raw outputs.
        result: content of the student's ``result.json``.
        model: MLflow model description, with artifact path and run if known.
    """
    from mlflow import pyfunc, pytorch

    names, rows = result["features"], example(result)
    pytorch.save_model(
        student,
        str(folder),
        mlflow_model=model,
        signature=_tensors(rows.dtype, len(names), result["outputs"]),
        input_example=rows,
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
    )
    _strip(folder / "data" / "model.pt2")
    shutil.copyfile(CODE, folder / CODE.name)
    pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=CODE.name,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    if has_feature_names(names):
        save_example(model, table(result, rows), str(folder))
    with torch.no_grad():
        model.signature = _answers(result, student(torch.from_numpy(rows)).numpy().dtype)
    model.metadata = {
        "features": names,
        "levels": result["levels"],
        "named": has_feature_names(names),
        "outputs": result["outputs"],
        "dtype": rows.dtype.name,
    }
    model.save(str(folder / "MLmodel"))


def _strip(file: Path) -> None:
    """Rewrite an exported network without file paths of this machine."""
    program = torch.export.load(file)
    for node in program.graph.nodes:
        for key in MACHINE_METADATA:
            node.meta.pop(key, None)
    torch.export.save(program, file)


def example(result: dict[str, Any]) -> np.ndarray:
    """Two raw rows ``(2, D)`` of the declared prior in the student's dtype; no real rows."""
    rows = [[np.nan if value is None else value for value in row] for row in result["example"][:2]]
    return np.array(rows, dtype=result["dtype"])


def has_feature_names(names: list[str]) -> bool:
    """Whether the features have names other than the default ``x0``, ``x1``, ..."""
    return names != [f"x{i}" for i in range(len(names))]


def table(result: dict[str, Any], rows: np.ndarray) -> pd.DataFrame:
    """Raw rows ``(N, D)`` as a user's data frame: doubles, and strings for text levels, which the student takes as codes."""
    import pandas as pd

    columns = {}
    for i, name in enumerate(result["features"]):
        levels, values = result["levels"].get(name, []), rows[:, i].astype(np.float64)
        given = [
            None if np.isnan(value) else levels[int(value)] if _texts(levels) else value for value in values.tolist()
        ]
        columns[name] = pd.Series(given, dtype=object if None in given or _texts(levels) else np.float64)
    return pd.DataFrame(columns)


def note(result: dict[str, Any]) -> str:
    """A Markdown table of a model's input columns."""
    lines = ["| column | type | |", "| --- | --- | --- |"]
    for name in result["features"]:
        levels = result["levels"].get(name, [])
        kind = "string" if _texts(levels) else "double"
        told = "may be missing" if None in levels else ""
        if known := [str(level) for level in levels if level is not None]:
            told = f"one of {', '.join(known[:12])}{', ...' * (len(known) > 12)}" + f"; {told}" * bool(told)
        line = f"| {escaped(name)} | {kind} | {escaped(told)} |"
        if sum(map(len, lines)) + len(line) > NOTE:
            lines.append("| ... | | |")
            break
        lines.append(line)
    return "\n".join(["Takes a table with these columns, in any order, and leaves others alone:", "", *lines])


def _texts(levels: list[Any]) -> bool:
    return any(isinstance(level, str) for level in levels)


def _tensors(dtype: np.dtype, features: int, outputs: int) -> ModelSignature:
    """The signature ``(N, D) -> (N, O)``, with which MLflow exports the network for any number of rows."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, answers = (Schema([TensorSpec(dtype, (-1, width))]) for width in (features, outputs))
    return ModelSignature(inputs=inputs, outputs=answers)


def _answers(result: dict[str, Any], dtype: np.dtype) -> ModelSignature:
    """The signature of the outputs: columns ``0``, ``1``, ... of a data frame, or an array ``(N, O)``."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    if not has_feature_names(result["features"]):
        return ModelSignature(outputs=Schema([TensorSpec(dtype, (-1, result["outputs"]))]))
    kind = {"float32": "float", "float64": "double"}[dtype.name]
    return ModelSignature(outputs=Schema([ColSpec(kind, str(i)) for i in range(result["outputs"])]))
