"""Models of MLflow with named columns: data frames in the dtypes of their signature."""

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, Schema
from teacher_files import fails

from dfkd_tune.teachers.mlflow_columns import ColumnModel

COLUMNS = Schema(
    [ColSpec("double", "load"), ColSpec("long", "gear"), ColSpec("string", "kind"), ColSpec("boolean", "on")]
)


class Loaded:
    """A model that keeps the frame that it gets."""

    def predict(self, frame):
        self.frame = frame
        return np.zeros(len(frame))


@pytest.fixture
def model():
    return ColumnModel("models:/pump/1", Loaded(), COLUMNS)


def test_it_tells_its_columns(model):
    assert model.kinds == {"load": "float64", "gear": "int64", "kind": "string", "on": "bool"}
    assert [*model.feature_names_in_] == [*model.kinds] and model.n_features_in_ == 4 and model.takes_frames


def test_rows_become_a_frame_of_its_dtypes(model):
    rows = np.array([[1.0, 2.0, "red", 0.0], [0.5, 3.0, "blue", 1.0]], dtype=object)
    for given in (rows, pd.DataFrame(rows, columns=[*model.kinds])):
        model.predict(given)
        frame = model.loaded.frame
        assert [frame[name].dtype.name for name in ("load", "gear", "on")] == ["float64", "int64", "bool"]
        assert frame["kind"].tolist() == ["red", "blue"] and frame["gear"].tolist() == [2, 3]


def test_a_whole_number_that_is_missing_stays_so(model):
    """No dtype of whole numbers holds it; MLflow says whether the model takes it."""
    model.predict(np.array([[np.nan, np.nan, None, 1.0]], dtype=object))
    frame = model.loaded.frame
    assert frame["load"].dtype == np.float64 and frame[["load", "gear", "kind"]].isna().all(axis=None)


def test_columns_of_something_else_are_told():
    columns = Schema([ColSpec("double", "load"), ColSpec("datetime", "when")])
    with fails("models:/pump/1", "takes the column when of datetime", "boolean, integer, long, float, double, string"):
        ColumnModel("models:/pump/1", Loaded(), columns)
