"""The protocol of MLflow's scoring servers: rows as JSON, and answers of every form."""

import numpy as np
import pytest

from dfkd_tune.teachers.endpoints.mlflow_scoring import MlflowScoring
from dfkd_tune.teachers.endpoints.protocols import Batch

SCORING = MlflowScoring(None, "", "")


def test_missing_values_are_null_in_a_data_frame():
    rows = np.array([["low", 3.0, 0.5], [None, 2.0, float("nan")]], dtype=object)
    (body,) = SCORING.bodies(Batch((rows,), ["kind", "b", "a"]))
    assert body == {"dataframe_split": {"columns": ["kind", "b", "a"], "data": [["low", 3, 0.5], [None, 2, None]]}}
    assert isinstance(body["dataframe_split"]["data"][0][1], int)


def test_numbers_are_also_offered_as_an_array():
    """For models of arrays; without names there is no data frame."""
    rows = np.array([[1.0, 0.5], [2.0, 0.25]])
    frame, array = SCORING.bodies(Batch((rows,), ["a", "b"]))
    assert frame == {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 0.5], [2, 0.25]]}}
    assert array == {"inputs": rows.tolist()} and SCORING.bodies(Batch((rows,))) == [array]


def test_an_argument_is_sent_by_its_name_and_a_single_one_without_it_too():
    one, two = np.zeros((2, 3)), np.array([True, False])
    assert SCORING.bodies(Batch((one, two), ["a", "b"], table=False)) == [
        {"inputs": {"a": one.tolist(), "b": [True, False]}}
    ]
    assert SCORING.bodies(Batch((one,), ["a"], table=False)) == [
        {"inputs": {"a": one.tolist()}},
        {"inputs": one.tolist()},
    ]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (Batch((np.array([[1.0, np.inf]]),), ["a", "b"]), "infinite numbers cannot be sent"),
        (Batch((np.array([[np.nan]]),), ["a"], table=False), "missing and infinite numbers cannot be sent in tensors"),
    ],
)
def test_what_json_cannot_hold_is_told(batch, words):
    with pytest.raises(ValueError, match=words):
        SCORING.bodies(batch)


@pytest.mark.parametrize(
    ("predictions", "outputs"),
    [
        ([1, 2], {"output": [1.0, 2.0]}),
        ([[1], [2]], {"output": [[1.0], [2.0]]}),
        ({"a": [1, 2], "b": [[3], [4]]}, {"a": [1.0, 2.0], "b": [[3.0], [4.0]]}),
        ([{"a": 1, "b": 3}, {"a": 2, "b": 4}], {"a": [1.0, 2.0], "b": [3.0, 4.0]}),  # the records of a data frame
    ],
)
def test_answers_come_by_name_in_every_form(predictions, outputs):
    found = SCORING.answers({"predictions": predictions}, 2)
    assert {name: array.tolist() for name, array in found.items()} == outputs
    assert all(array.dtype == np.float64 for array in found.values())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([1, 2], "it holds no predictions"),
        ({"predictions": {}}, "it holds no outputs"),
        ({"predictions": [1]}, "2 rows were expected"),
    ],
)
def test_other_answers_are_told(document, words):
    with pytest.raises(ValueError, match=words):
        SCORING.answers(document, 2)


def test_rows_with_different_outputs_are_told():
    with pytest.raises(ValueError, match="its rows have different outputs"):
        SCORING.answers({"predictions": [{"y": 1.0}, {"z": 2.0}]}, 2)
