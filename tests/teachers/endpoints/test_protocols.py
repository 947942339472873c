"""What protocols share: batches of rows, and numbers from JSON."""

import numpy as np
import pytest

from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.teachers.endpoints.protocols import Batch, Description, beside, numbers, whole


def test_whole_numbers_are_int_where_json_holds_them_exactly():
    found = whole([1.0, 1.5, "1.0", None, -0.0, 2.0**60])
    assert found == [1, 1.5, "1.0", None, 0, 2.0**60]
    assert [type(value) for value in found] == [int, float, str, type(None), int, float]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([["cat"], ["dog"]], "numbers were expected, got .'cat'"),
        ([1.0, 2.0, 3.0], r"2 rows were expected, got the shape \(3,\)"),
        (7.0, r"2 rows were expected, got the shape \(\)"),
        ([None, {}], r"numbers were expected, got \[\{\}\]"),
        (None, "numbers were expected"),
        ([[], []], "numbers were expected, got none"),
    ],
)
def test_an_output_holds_numbers_for_each_row(output, words):
    with pytest.raises(ValueError, match=words):
        numbers(output, 2)
    assert numbers([[True], [False]], 2).tolist() == [[1.0], [0.0]]
    np.testing.assert_array_equal(numbers([None, 1.0], 2), [np.nan, 1.0])


def test_outputs_lie_beside_each_other_in_their_order():
    outputs = {"y": np.array([1.0, 2.0]), "a": np.arange(12.0).reshape(2, 3, 2)}
    assert beside(outputs).tolist() == [[1, *range(6)], [2, *range(6, 12)]]


def test_a_part_of_a_batch_is_a_batch():
    batch = Batch((np.arange(6).reshape(3, 2), np.array(["a", "b", "c"])), ["x", "k"], table=False)
    part = batch.rows(np.array([2, 0]))
    assert (len(part), part.width, part.names, part.table) == (2, 3, ["x", "k"], False)
    assert part.arrays[0].tolist() == [[4, 5], [0, 1]] and part.arrays[1].tolist() == ["c", "a"]


@pytest.mark.parametrize(
    ("about", "width"),
    [
        ({}, None),
        ({"names": ["a", "b"]}, 2),
        ({"signature": Signature.positional([Argument("x", (5,))])}, 5),
        ({"signature": Signature.positional([Argument("x", None)])}, None),
        ({"signature": Signature.positional([Argument("x", (5,)), Argument("y", (5,))])}, None),
    ],
)
def test_the_number_of_features_is_known_of_columns_and_of_flat_rows(about, width):
    assert Description(**about).width == width
