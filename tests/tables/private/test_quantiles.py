"""Laws of quantiles from shares: they rise, stay in the range, and hold the values that occur often."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.tables.private.bounds import bounds_of
from dfkd_tune.tables.private.quantiles import quantiles_of
from dfkd_tune.tables.private.tree import spread


def bounds(**item):
    (found,) = bounds_of({"features": [{"name": "x"} | item]}, ["x"])
    return found


RANGES = [{"range": [-2, 7]}, {"range": [1e6, 1e6 + 0.5]}, {"range": [0, 30], "integer": True}, {"range": [3, 3.5], "integer": True}]  # fmt: skip


@pytest.mark.parametrize("item", RANGES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 999))
def test_they_make_a_feature(item, seed):
    limits = bounds(**item)
    rng = np.random.default_rng(seed)
    shares = spread(rng.normal(0, 1, limits.leaves) ** 5)
    quantiles = quantiles_of(shares, limits)
    values = [*quantiles.values()]
    assert values == sorted(values) and item["range"][0] <= values[0] and values[-1] <= item["range"][1]
    parse_features({"features": [limits.item | {"quantiles": quantiles}]}, "here")


def test_they_are_those_of_the_shares():
    limits = bounds(range=[0, 1])
    shares = np.full(limits.leaves, 1 / limits.leaves)
    for p, value in quantiles_of(shares, limits).items():
        assert value == pytest.approx(p, abs=1e-6)


def test_a_frequent_value_is_an_atom():
    limits = bounds(range=[0, 9], integer=True)
    shares = spread(np.array([0, 0, 60, 0, 0, 0, 0, 0, 40, 0]))
    at = [value for value in quantiles_of(shares, limits).values() if value in (2.0, 8.0)]
    assert at.count(2.0) == 2 and at.count(8.0) == 2


def test_each_of_few_whole_numbers_has_its_share():
    quantiles = quantiles_of(np.array([0.5, 0.3, 0.2]), bounds(range=[0, 2], integer=True))
    inputs = parse_features(
        {"features": [{"name": "x", "integer": True, "range": [0, 2], "quantiles": quantiles}]}, "here"
    )
    drawn = inputs.draw(20_000, torch.Generator().manual_seed(0)) * inputs.scale + inputs.center
    assert torch.bincount(drawn.round().long().flatten()) / 20_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
