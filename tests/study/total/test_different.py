"""Inputs with few different rows are told from those with many, and no row is found twice."""

import pytest
import torch

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference import unknown_scales
from dfkd_tune.study.total.different import count_different, different_rows

LEVELS = [Feature("a", levels=[0.0, 1.0, 2.0], nominal=True), Feature("b", levels=["up", "down", None])]


@pytest.mark.parametrize(
    ("features", "count"),
    [
        (LEVELS, 9),
        ([*LEVELS, Feature("n", range=[0, 3], integer=True)], 36),
        ([Feature("n", range=[0, 3], integer=True, missing=0.3), LEVELS[0]], 15),
        ([*LEVELS, Feature("x")], None),
        ([Feature("n", range=[0, 1e6], integer=True)], None),
    ],
)
def test_they_are_counted(features, count):
    inputs = Inputs(features)
    assert count_different(inputs, 400) == count
    if count is not None:
        rows = inputs.raw(different_rows(inputs, count)).nan_to_num(-1.0)
        assert len(torch.unique(rows, dim=0)) == len(rows) == count


def test_they_are_those_that_the_prior_draws_in_the_end():
    inputs = Inputs([*LEVELS, Feature("n", range=[-1.5, 2.5], integer=True, missing=0.2)])
    drawn = inputs.raw(inputs.draw(20_000, torch.Generator().manual_seed(0)))
    every = inputs.raw(different_rows(inputs, 45))
    assert {*map(str, every.tolist())} == {*map(str, drawn.tolist())}


def test_rare_levels_are_among_them():
    rare = Feature("rare", levels=[0.0, 1.0, 2.0], probabilities=[0.999999, 0.000001, 0.0])
    assert count_different(Inputs([*LEVELS, rare]), 400) == 18


def test_a_limit_is_kept():
    assert count_different(Inputs(LEVELS), 9) == 9
    assert count_different(Inputs(LEVELS), 8) is None


def test_how_a_channel_moves_changes_none():
    windows = parse_features({"window": {"steps": 3, "channels": [{"name": "a", "levels": [0, 1]}]}}, "here")
    assert count_different(windows, 8) == count_different(unknown_scales.completed(windows), 8) == 8
