"""The declaration of one feature: what it must not say, and what follows from it."""

import math
from functools import partial

import pytest
import torch
from asked import fails as told

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.utils.strategy import build

fails = partial(told, kind=SpecError)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["x.name", "required"]),
        ({"name": ""}, ["x.name", "at least 1 character"]),
        ({"name": 3}, ["x.name", "valid string", "got 3"]),
        ({"mean": 1.0}, ["mean and std are given together"]),
        ({"std": 1.0}, ["mean and std are given together"]),
        ({"mean": 1.0, "std": 0.0}, ["x.std", "greater than 0", "got 0.0"]),
        ({"mean": 1.0, "std": -2.0}, ["x.std", "greater than 0", "got -2.0"]),
        ({"mean": "1", "std": 1.0}, ["x.mean", "valid number", "got '1'"]),
        ({"mean": True, "std": 1.0}, ["x.mean", "valid number", "got True"]),
        ({"mean": math.nan, "std": 1.0}, ["x.mean", "finite", "got nan"]),
        ({"mean": 0.0, "std": math.inf}, ["x.std", "finite", "got inf"]),
        ({"range": [1.0]}, ["x.range", "at least 2", "got [1.0]"]),
        ({"range": [1.0, 2.0, 3.0]}, ["x.range", "at most 2", "got [1.0, 2.0, 3.0]"]),
        ({"range": 3.0}, ["x.range", "valid list", "got 3.0"]),
        ({"range": [2.0, 1.0]}, ["low < high", "[2.0, 1.0]"]),
        ({"range": [1.0, 1.0]}, ["low < high", "[1.0, 1.0]"]),
        ({"range": [0.0, math.inf]}, ["x.range.1", "finite", "got inf"]),
        ({"range": [-1e308, 1e308]}, ["span more than a number can hold"]),
        ({"range": [0.0, 1.0], "levels": [0.0]}, ["range and levels exclude each other"]),
        ({"range": [0.0, 1.0], "mean": 2.0, "std": 1.0}, ["mean 2.0 lies outside range [0.0, 1.0]"]),
        ({"range": [0.2, 0.8], "integer": True}, ["no whole number", "[0.2, 0.8]"]),
        ({"integer": 1}, ["x.integer", "boolean", "got 1"]),
        ({"levels": []}, ["x.levels", "at least 1", "got []"]),
        ({"levels": [1.0, 2.0, 1.0]}, ["levels must differ"]),
        ({"levels": ["a", 1.0]}, ["all numbers or all words"]),
        ({"levels": [True, "b"]}, ["x.levels", "quote"]),
        ({"levels": [0.0, 1e200]}, ["span more than a number can hold"]),
        ({"levels": [1.0, 1e300]}, ["span more than a number can hold"]),
        ({"range": [0.0, 5e-324]}, ["span more than the least that a number can hold"]),
        ({"mean": 0.0, "std": 1e-320}, ["span more than the least that a number can hold"]),
        ({"probabilities": [1.0]}, ["probabilities need as many levels"]),
        ({"levels": [1.0, 2.0], "probabilities": [1.0]}, ["probabilities need as many levels"]),
        ({"levels": [1.0, 2.0], "probabilities": [0.5, 0.6]}, ["must sum to 1", "1.1"]),
        ({"levels": [1.0, 2.0], "probabilities": [-0.5, 1.5]}, ["x.probabilities.0", "greater than or equal", "-0.5"]),
        ({"levels": [0.0, 1.0], "mean": 7.0, "std": 3.0}, ["mean 7.0 lies outside levels"]),
        ({"levels": ["a", "b"], "mean": 0.0, "std": 1.0}, ["the levels are words"]),
        ({"quantiles": {0.1: 0.0, 0.9: 1.0}, "mean": 1e6, "std": 1.0}, ["mean 1000000.0 lies outside quantiles"]),
        ({"median": 1.0}, ["x.median", "unknown key", "known keys: name, mean, std, range, levels"]),
        ({7: 1.0}, ["a key must be a word", "got 7"]),
    ],
)
def test_declarations_that_say_something_impossible(values, words):
    values = values if not values or "name" in values else {"name": "x"} | values
    with fails("x", *words):
        build(Feature, values, "x")


def test_a_rule_between_fields_names_them_and_nothing_else():
    with pytest.raises(SpecError) as caught:
        build(Feature, {"name": "x", "mean": 1.0}, "place")
    assert (caught.value.place, caught.value.rule) == ("place", "mean and std are given together")


def test_a_feature_of_many_levels_is_read_at_once():
    feature = Feature(name="x", levels=[float(i) for i in range(30_000)])
    assert feature.scale == pytest.approx(30_000 / math.sqrt(12))
    assert sum(feature.weights) == pytest.approx(1)


def test_probabilities_may_be_rounded():
    feature = Feature(name="x", levels=[1.0, 2.0, 3.0], probabilities=[0.333, 0.333, 0.333])
    assert feature.weights == pytest.approx([1 / 3] * 3)


def test_a_declaration_cannot_be_changed():
    with pytest.raises(AttributeError):
        Feature(name="plain").mean = 3.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quantiles": {}}, ["x.quantiles", "at least 2"]),
        ({"quantiles": {0.5: 1.0}}, ["x.quantiles", "at least 2"]),
        ({"quantiles": [0.1, 0.2]}, ["x.quantiles", "dictionary"]),
        ({"quantiles": {0.0: 1.0, 0.5: 2.0}}, ["between 0 and 1", "found 0"]),
        ({"quantiles": {0.5: 1.0, 1.0: 2.0}}, ["between 0 and 1", "found 1"]),
        ({"quantiles": {50.0: 1.0, 95.0: 2.0}}, ["between 0 and 1", "found 50"]),
        ({"quantiles": {0.5: 1.0, 0.2: 2.0}}, ["rising probabilities", "0.2 after 0.5"]),
        ({"quantiles": {0.5: 1.0, 0.7: 0.5}}, ["must not fall", "0.5 at 0.7 after 1 at 0.5"]),
        ({"quantiles": {0.5: 1.0, 0.7: math.inf}}, ["x.quantiles.0.7", "finite"]),
        ({"quantiles": {"a": 1.0, 0.7: 1.0}}, ["x.quantiles", "valid number", "'a'"]),
        ({"quantiles": {0.5: "b", 0.7: 1.0}}, ["x.quantiles.0.5", "valid number", "'b'"]),
        ({"quantiles": {0.5: 1.0, 0.7: 2.0}, "levels": [1.0]}, ["quantiles and levels exclude each other"]),
        ({"quantiles": {0.5: 1.0, 0.7: 2.0}, "range": [0.0, 1.5]}, ["quantile 0.7", "outside range [0.0, 1.5]", "2"]),
        ({"quantiles": {0.1: -1e308, 0.9: 1e308}}, ["span more than a number can hold"]),
    ],
)
def test_quantiles_that_say_something_impossible(values, words):
    with fails("x", *words):
        build(Feature, {"name": "x"} | values, "x")


@pytest.mark.parametrize(
    ("about", "support"),
    [
        ({}, (-math.inf, math.inf)),
        ({"range": [0.4, 5.6]}, (0.4, 5.6)),
        ({"range": [0.4, 5.6], "integer": True}, (1, 5)),
        ({"mean": 1.0, "std": 2.0, "range": [0.0, 4.0]}, (0.0, 4.0)),
        ({"levels": [3.0, -1.0, 10.0]}, (-1.0, 10.0)),
        ({"levels": ["red", None, "blue"]}, (0.0, 2.0)),
    ],
)
def test_quantiles_reach_from_one_end_of_the_support_to_the_other(about, support):
    feature = Feature(name="x", **about)
    assert feature.support == support
    if not feature.integer:  # rows of whole numbers are rounded where they are drawn
        ends = feature.quantile(torch.tensor([0.0, 1.0], dtype=torch.float64)) * feature.scale + feature.center
        assert ends.tolist() == pytest.approx(support)


def test_words_keep_their_order_and_a_missing_one_is_last():
    feature = Feature(name="x", levels=["red", None, "blue"], probabilities=[0.5, 0.2, 0.3])
    assert feature.labels == ["red", "blue", None] and feature.one_hot
    assert feature.weights == pytest.approx([0.5, 0.3, 0.2])


def test_numbers_are_sorted_with_their_probabilities():
    feature = Feature(name="x", levels=[3.0, -1.0, 10.0], probabilities=[0.2, 0.7, 0.1])
    assert (feature.codes, feature.labels) == ([-1.0, 3.0, 10.0], None)
    assert feature.weights == pytest.approx([0.7, 0.2, 0.1])
    assert feature.center == pytest.approx(0.9)
