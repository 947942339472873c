"""What a registered model declares of its inputs and outputs: MLflow's signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dfkd_tune.export.schema import has_names
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Output, dtype_name

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, ParamSchema

DOUBLE, STRING = "double", "string"
"""MLflow's types of columns of numbers and of words; ``export.student_files`` declares the others."""


def of_network(dtype: np.dtype, features: int, outputs: int) -> ModelSignature:
    """The signature ``(N, D) -> (N, O)``, with which MLflow exports the network for any number of rows."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, answers = (Schema([TensorSpec(dtype, (-1, width))]) for width in (features, outputs))
    return ModelSignature(inputs=inputs, outputs=answers)


def of_arguments(layout: Layout) -> ModelSignature:
    """The signature of tensors: the teacher's arguments by name, or its only one, and its outputs."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    parts = [(each.name, (-1, *(each.shape or ())), array_dtype(each)) for each in layout.arguments]
    answers = [(each.name, (-1, *each.shape), array_dtype(each)) for each in layout.outputs]
    inputs, outputs = (
        Schema([TensorSpec(kind, shape, name if len(given) > 1 else None) for name, shape, kind in given])
        for given in (parts, answers)
    )
    return ModelSignature(inputs=inputs, outputs=outputs)


def of_tables(result: dict[str, Any], dtype: np.dtype, typed: bool) -> ModelSignature:
    """The signature of a model that takes tables. Its parameter is the guard's.

    Args:
        result: content of the student's ``result.json``.
        dtype: dtype of the outputs.
        typed: whether it declares the columns of the inputs. Outputs are columns ``0``, ``1``, ... if it does or if the features have
            names, else an array ``(N, O)``.
    """
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    guarded = [] if result["domain"] is None else [ParamSpec("in_domain", DataType.boolean, False)]
    params: ParamSchema | Any = ParamSchema(guarded) if guarded else None  # MLflow takes None, its annotation does not
    if typed or by_name(result):
        kind = {"float32": "float", "float64": DOUBLE}[dtype.name]
        outputs = Schema([ColSpec(kind, str(i)) for i in range(result["outputs"])])
    else:
        outputs = Schema([TensorSpec(dtype, (-1, result["outputs"]))])
    return ModelSignature(inputs=Schema([*columns(result)]) if typed else None, outputs=outputs, params=params)


def columns(result: dict[str, Any]) -> list[ColSpec]:
    """The columns of a table of the declared inputs, as ``mlflow.models.infer_signature`` finds them in one with enough rows.

    A value that may be missing makes its column optional. Features without names are columns without names, because a user of these
    sends arrays, which MLflow refuses where columns have names; their missing values are NaN, which no declaration forbids.
    """
    from mlflow.types import ColSpec

    types = column_types(result)
    if not by_name(result):
        return [ColSpec(types[name]) for name in result["features"]]
    return [ColSpec(types[name], name, required=not is_optional(result, name)) for name in result["features"]]


def column_types(result: dict[str, Any]) -> dict[str, str]:
    """Feature -> MLflow's type of its column. Columns without names are doubles, as those of an array have one type."""
    if not by_name(result):
        return dict.fromkeys(result["features"], DOUBLE)
    words = dict.fromkeys((name for name, levels in result["levels"].items() if has_words(levels)), STRING)
    return dict.fromkeys(result["features"], DOUBLE) | result["types"] | words


def by_name(result: dict[str, Any]) -> bool:
    """Whether a user sends tables with the names of the features: they have names of their own, or words as levels, which no array has."""
    return has_names(result["features"]) or any(map(has_words, result["levels"].values()))


def is_optional(result: dict[str, Any], name: str) -> bool:
    """Whether a feature's value may be missing."""
    return name in result["gapped"] or None in result["levels"].get(name, [])


def has_words(levels: list[Any]) -> bool:
    """Whether levels are words."""
    return any(isinstance(level, str) for level in levels)


def array_dtype(part: Argument | Output) -> np.dtype:
    """The dtype of arrays for an argument or output; NumPy has no bfloat16."""
    if isinstance(part, Argument) and part.words is not None:
        return np.dtype("str")
    return np.dtype("float32" if part.dtype == torch.bfloat16 else dtype_name(part.dtype or torch.float32))
