"""Laws of bounds: every row has one cell, whatever it holds, and nothing is learned from the table."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.private.bounds import bounds_of

ANY = st.floats(allow_infinity=False) | st.sampled_from([np.nan, 0.0, 1e12, -1e300])


def one(**item):
    (found,) = bounds_of({"features": [{"name": "x"} | item]}, ["x"])
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANY, min_size=1, max_size=20))
def test_every_number_has_a_cell(values):
    column = np.array(values)
    for bounds in (one(range=[-3, 5]), one(range=[0, 9], integer=True), one(levels=[0, 1, None]), one(levels=[2])):
        codes = bounds.codes(column, None)
        assert codes.shape == column.shape and codes.min() >= 0 and codes.max() <= bounds.leaves
        alone = [int(bounds.codes(column[i : i + 1], None)[0]) for i in range(len(column))]
        assert codes.tolist() == alone  # no row matters to another


def test_cells_hold_what_they_say():
    bounds = one(range=[0, 9], integer=True)
    assert bounds.leaves == 10 and bounds.codes(np.array([0.0, 4.0, 9.0, 1e12, -1.0, np.nan]), None).tolist() == [
        *(0, 4, 9, 9, 0, 10)
    ]
    bounds = one(range=[0, 8])
    leaf = bounds.codes(np.array([3.3]), None)[0]
    assert bounds.edges[leaf] <= 3.3 < bounds.edges[leaf + 1]
    assert one(levels=[7, 1, None]).codes(np.array([1.0, 7.0, np.nan, 3.0]), None).tolist() == [0, 1, 2, 3]
    words = ("blue", "green", "red")
    codes = one(levels=["red", "blue"]).codes(np.array([0.0, 1.0, 2.0, np.nan]), words)
    assert codes.tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["x"], ["x", "neither a range nor levels", "range: [LOW, HIGH]"]),
        ([{"name": "x", "mean": 1, "std": 2}], ["mean is no bound"]),
        ([{"name": "x", "range": [0, 1], "quantiles": {0.1: 0, 0.9: 1}}], ["quantiles is no bound"]),
        ([{"name": "y", "range": [0, 1]}], ["x: a column of the table has no bounds", "--target"]),
        ([{"name": "x", "range": [0, 1]}, "z"], ["z: the table has no such column"]),
        ([{"name": "x", "levels": [0, 1], "probabilities": [0.5, 0.5]}], ["probabilities is no bound"]),
    ],
)
def test_what_bounds_no_column_is_refused(items, words):
    with pytest.raises(FeaturesError) as caught:
        bounds_of({"features": items}, ["x"])
    assert all(word in str(caught.value) for word in words) and len(str(caught.value).splitlines()) == 1


def test_words_and_numbers_are_told_apart():
    with pytest.raises(FeaturesError, match="x: holds numbers, and its bounds are words"):
        one(levels=["a", "b"]).codes(np.zeros(3), None)
    with pytest.raises(FeaturesError, match="x: holds words, and its bounds are numbers"):
        one(range=[0, 1]).codes(np.zeros(3), ("a",))
