"""Models of MLflow with named columns: data frames in the dtypes of their signature."""

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.types import ColSpec, Schema
from teacher_files import fails

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.data_frames import with_whole_numbers
from dfkd_tune.teachers.mlflow_columns import ColumnModel
from dfkd_tune.testing.problems import rng

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


def declared(model, *features) -> Inputs:
    teacher = Teacher("models:/pump/1", lambda x: x[:, 0], torch.float64, "sha", estimator=model)
    return with_whole_numbers(teacher, Inputs([Feature(**each) for each in features]))


KIND = {"name": "kind", "levels": ["red", "blue"]}


def test_numbers_are_whole_where_its_columns_are(model):
    """Otherwise fractions of prior rows would be cut off, and the student would learn a staircase."""
    found = declared(model, {"name": "load"}, {"name": "gear", "mean": 5, "std": 2}, KIND, {"name": "on"})
    load, gear, _, on = found.features
    assert not load.integer and gear.integer and gear.mean == 5 and on.levels == [0, 1]
    rows = found.raw(found.draw(200, rng()))
    assert (rows[:, 1] == rows[:, 1].round()).all() and set(rows[:, 3].tolist()) == {0.0, 1.0}
    assert found.inferred is not None and "truth values of on" in found.inferred.told
    again = declared(model, *(vars(feature) for feature in found.features))
    assert again.features == found.features and again.inferred is None
    assert declared(model, {"name": "load"}, {"name": "gear"}, KIND, {"name": "on"}).tier == "T2"


@pytest.mark.parametrize(
    ("wrong", "takes", "remedy"),
    [
        ({"name": "gear", "levels": [0.5, 1]}, "whole numbers in the column gear", "levels: [0, 1, 2]"),
        ({"name": "on", "levels": [0, 2]}, "0 and 1 in the column on", "levels: [0, 1]"),
        ({"name": "on", "range": [0, 1]}, "0 and 1 in the column on", "levels: [0, 1]"),
    ],
)
def test_what_such_a_column_does_not_take_is_refused(model, wrong, takes, remedy):
    with fails("models:/pump/1", takes, remedy):
        declared(model, wrong)
