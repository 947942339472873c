"""Inputs with few different rows are told from those with many, and no row is found twice."""

import pytest
import torch

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
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
    assert count_different(inputs, 0, 400) == count
    if count is not None:
        rows = inputs.raw(different_rows(inputs, 0, 400)).nan_to_num(-1.0)
        assert len(torch.unique(rows, dim=0)) == len(rows) == count


def test_a_seed_gives_the_same_rows():
    inputs = Inputs(LEVELS)
    assert torch.equal(different_rows(inputs, 3, 400), different_rows(inputs, 3, 400))
