"""Laws of the tree: one row changes it as little as its depth says, and its distribution is that of the rows."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfkd_tune.tables.private.tree import BRANCHES, SPREAD, distribution, layers, spread


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 5), st.data())
def test_one_row_changes_one_node_of_each_layer(depth, data):
    leaves = data.draw(st.integers(1, BRANCHES**depth))
    leaf = data.draw(st.integers(0, leaves - 1))
    counts = np.arange(leaves) % 3
    more = counts + (np.arange(leaves) == leaf)
    change = np.concatenate(layers(more, depth)) - np.concatenate(layers(counts, depth))
    assert np.linalg.norm(change) == pytest.approx(depth**0.5)
    assert all(layer.sum() == counts.sum() for layer in layers(counts, depth))


def test_without_noise_it_tells_the_rows():
    pytest.importorskip("opendp")
    counts = np.random.default_rng(0).integers(0, 900, 50)
    shares = distribution(layers(counts, 3), 50, 1e-9)
    assert shares == pytest.approx((1 - SPREAD) * counts / counts.sum() + SPREAD / 50)


def test_noise_fills_no_empty_part_of_a_range_beyond_what_is_spread():
    pytest.importorskip("opendp")
    rng, counts = np.random.default_rng(1), np.zeros(1024, dtype=int)
    counts[100:140] = 100
    noised = [layer + np.rint(rng.normal(0, 20, layer.shape)) for layer in layers(counts, 5)]
    shares = distribution(noised, 1024, 20.0)
    assert shares.sum() == pytest.approx(1) and (shares > 0).all()
    assert shares[64:192].sum() > 0.95
    assert np.abs(shares.cumsum() - counts.cumsum() / 4_000).max() < 0.06


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_any_noised_counts_are_shares(counts):
    shares = spread(np.array(counts))
    assert shares.sum() == pytest.approx(1) and (shares > 0).all()
