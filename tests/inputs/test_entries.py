"""Entries of a features file: what becomes of plain values, and the place that an error names."""

from functools import partial

import pytest
from asked import fails as told

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.entries import entry, feature
from dfkd_tune.inputs.feature import Feature

fails = partial(told, kind=FeaturesError)


def test_a_name_a_mapping_and_a_feature_are_a_feature():
    made = Feature(name="load", range=[0.0, 9.0])
    assert feature({"name": "load", "range": [0, 9]}, "f") == made and feature(made, "f") is made
    assert feature("load", "f") == Feature(name="load")


def test_whole_numbers_are_decimal_in_lists():
    """Levels 0 and 1 are the levels 0.0 and 1.0, and no truth values."""
    levels = entry(Feature, {"name": "x", "levels": [0, 1, None]}, "f").levels
    assert [type(level) for level in levels] == [float, float, type(None)]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (7, ["f: must be a name or a mapping, got 7"]),
        ({"name": "x", "levels": ["low", True]}, ["f.levels.1: must be a number, a word or null", "'yes', 'no'"]),
        ({"name": "x", "mean": 1.0}, ["f: mean and std are given together"]),
        ({"name": "x", "men": 1.0}, ["f.men: unknown key", "known keys: name, mean"]),
        ({}, ["f.name: required, but not given", "dfkd-tune check reads a features file"]),
    ],
)
def test_mistakes_are_of_the_features_file(item, words):
    with fails("f", *words):
        feature(item, "f")


def test_a_part_that_is_no_feature_needs_a_mapping():
    with fails("window", "must be a mapping, got 'x'"):
        entry(Feature, "x", "window")
