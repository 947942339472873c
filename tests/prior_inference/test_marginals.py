"""The distribution of one feature, from the counts at its splits."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeRegressor
from tree_ensembles import X

from dfkd_tune.prior_inference.marginals import SPACING, STEEPEST, Margin, margin, quantiles
from dfkd_tune.prior_inference.tree_splits import Split, splits_of


def test_one_stump_is_enough():
    stump = DecisionTreeRegressor(max_depth=1).fit(X[:, 1:2], X[:, 1] > 320)
    (split,) = splits_of(stump)
    told = quantiles(margin([split]), scale=40.0)
    assert sorted(told) == list(told) and sorted(told.values()) == list(told.values())
    assert list(told)[2] == pytest.approx(split.below / split.rows)
    assert list(told.values())[2] == pytest.approx(split.threshold)
    assert max(told.values()) - min(told.values()) == pytest.approx(4 * 40)


def test_likelier_probabilities_are_found_where_a_split_sees_a_part_of_the_rows():
    tree = DecisionTreeRegressor(max_leaf_nodes=40).fit(X[:, :1], rankdata(X[:, 0]))
    found = margin(splits_of(tree))
    assert np.allclose(found.below, [(X[:, 0] <= t).mean() for t in found.thresholds], atol=1e-3)


def test_splits_that_contradict_each_other_are_averaged_by_their_rows():
    """As those of a bag, each of whose trees saw other rows."""
    splits = [Split(0, 1.0, below, 100 * n - below, -1, False, -np.inf, np.inf, 0) for below, n in ((20, 1), (120, 3))]
    assert margin(splits).below.tolist() == pytest.approx([140 / 400])


@pytest.mark.parametrize("law", ["normal", "uniform", "lognormal"])
def test_quantiles_rise_and_their_tails_are_no_steeper_than_they_may_be(law):
    x = np.sort({"normal": X[:, 0], "uniform": X[:, 3], "lognormal": X[:, 2]}[law])
    t = np.quantile(x, np.linspace(0.02, 0.98, 60))
    told = quantiles(Margin(t, np.array([(x <= v).mean() for v in t])), 1.0)
    p, values = np.array([*told]), np.array([*told.values()])
    assert (np.diff(p) > 0).all() and (np.diff(values) > 0).all() and np.diff(p[2:-2]).min() > SPACING / 2
    steps = np.diff(values)
    for outer, inner in ((steps[-1], steps[-2]), (steps[0], steps[1])):  # a factor 10 of probability each
        assert inner * (1 - 1e-9) <= outer <= STEEPEST * inner * (1 + 1e-9)


def test_a_mirrored_feature_has_mirrored_quantiles():
    t, below = np.array([-1.0, 0.5, 4.0]), np.array([0.2, 0.5, 0.9])
    told, mirrored = quantiles(Margin(t, below), 1.0), quantiles(Margin(-t[::-1], 1 - below[::-1]), 1.0)
    assert [1 - p for p in reversed(mirrored)] == pytest.approx([*told])
    assert [-v for v in reversed(mirrored.values())] == pytest.approx([*told.values()])
