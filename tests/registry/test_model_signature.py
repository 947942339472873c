"""The columns that a registered model declares are those that MLflow infers from a table of the declared inputs."""

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import infer_signature
from mlflow.types import DataType
from served_models import NAMES, PLAIN, ROWS, TYPED, answers_of

from dfkd_tune.export.student_files import levels, types
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.registry.model_files import example, request, table
from dfkd_tune.registry.model_signature import columns, of_network, of_tables

DECLARED = [
    Feature(name="load", mean=3.0, std=2.0),
    Feature(name="count", range=[0.0, 9.0], integer=True),
    Feature(name="gaps", range=[0.0, 9.0], integer=True, missing=0.3),
    Feature(name="valve", levels=[0.0, 1.0]),
    Feature(name="gear", levels=[1.0, 2.0, 3.0], nominal=True),
    Feature(name="step", levels=[1.0, 2.5]),
    Feature(name="fuse", levels=[0.0, 1.0, None]),
    Feature(name="color", levels=["red", "true", "01"]),
    Feature(name="grade", levels=["low", "high", None]),
    Feature(name="flow", missing=0.3),
    Feature(name="far", levels=[0.0, 1e20]),
]


@pytest.mark.filterwarnings("ignore:Hint. Inferred schema contains integer")
def test_the_columns_are_those_that_mlflow_infers_from_a_table_of_the_declared_inputs():
    inputs = Inputs(DECLARED)
    result = {
        "features": inputs.names,
        "levels": levels(inputs),
        "types": types(inputs, {}),
        "gapped": [inputs.names[i] for i in inputs.gapped],
    }
    rows = inputs.raw(inputs.draw(200, torch.Generator().manual_seed(0)), torch.float64).numpy()
    declared = columns(result)
    assert declared == infer_signature(table(result, rows, typed=True)).inputs.inputs
    kinds = {column.name: (column.type.name, column.required) for column in declared}
    assert kinds == {
        "load": ("double", True),
        "count": ("long", True),
        "gaps": ("double", False),
        "valve": ("long", True),
        "gear": ("long", True),
        "step": ("double", True),
        "fuse": ("double", False),
        "color": ("string", True),
        "grade": ("string", False),
        "flow": ("double", False),
        "far": ("double", True),
    }


def test_the_example_is_what_the_signature_declares(typed):
    """By its dtypes exactly, so that MLflow converts nothing."""
    given, declared = typed.input_example, typed.metadata.get_input_schema()
    assert [*given.columns] == declared.input_names() == TYPED["features"]
    for column in declared:
        words = column.type == DataType.string and pd.api.types.is_string_dtype(given[column.name].dropna())
        assert words or given[column.name].dtype == column.type.to_numpy(), column
    expected = np.nan_to_num(example(TYPED), nan=-7.0)
    np.testing.assert_array_equal(typed.predict(given), expected)
    np.testing.assert_array_equal(typed.predict(request(TYPED, example(TYPED), typed=True)), expected)
    assert typed.metadata.get_output_schema().input_names() == [str(i) for i in range(7)]


def test_features_without_names_are_doubles_for_arrays(typed_plain):
    """Also of whole numbers, because the columns of an array have one type."""
    given, declared = typed_plain.input_example, typed_plain.metadata.get_input_schema()
    assert [(column.name, column.type) for column in declared] == [(None, DataType.double)] * 3
    assert isinstance(given, np.ndarray) and given.dtype == np.float64
    np.testing.assert_allclose(typed_plain.predict(given), answers_of(ROWS[:2]), rtol=1e-5)


def test_words_are_told_by_name_whatever_the_features_are_called():
    result = PLAIN | {"features": ["x0", "x1"], "levels": {"x1": ["low", "high"]}, "example": [[1.0, 0.0], [2.0, 1.0]]}
    assert [(column.name, column.type) for column in columns(result)] == [
        ("x0", DataType.double),
        ("x1", DataType.string),
    ]
    assert request(result, example(result), typed=True)["x1"].tolist() == ["low", "high"]


def test_nothing_is_declared_of_tables_unless_asked():
    for result in (TYPED, PLAIN | {"features": NAMES}):
        assert of_tables(result, np.dtype("float32"), typed=False).inputs is None
        assert len(of_tables(result, np.dtype("float32"), typed=True).inputs) == len(result["features"])


def test_a_network_takes_any_number_of_rows():
    signature = of_network(np.dtype("float32"), 3, 2)
    assert [signature.inputs.inputs[0].shape, signature.outputs.inputs[0].shape] == [(-1, 3), (-1, 2)]
