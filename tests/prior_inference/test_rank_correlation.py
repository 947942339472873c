"""Rank correlations from the counts at splits of several features."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.tree import DecisionTreeRegressor

from dfkd_tune.prior_inference.marginals import margin
from dfkd_tune.prior_inference.rank_correlation import rank_correlations, rank_rows
from dfkd_tune.prior_inference.tree_splits import splits_of


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.6])
def test_ranks_of_normal_scores_go_together_a_little_less(rho):
    rows = rank_rows(torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64))
    assert rows == [[1.0], [pytest.approx(6 / math.pi * math.asin(rho / 2)), 1.0]]
    s = np.random.default_rng(0).standard_normal((100_000, 2))
    assert rows[1][0] == pytest.approx(spearmanr(s[:, 0], rho * s[:, 0] + (1 - rho**2) ** 0.5 * s[:, 1])[0], abs=0.02)


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.7])
def test_a_tree_that_asks_for_both_features_tells_how_they_go_together(rho):
    s = np.random.default_rng(1).standard_normal((4_000, 2))
    x = np.stack([s[:, 0], np.exp(rho * s[:, 0] + (1 - rho**2) ** 0.5 * s[:, 1])], axis=1)
    found = splits_of(DecisionTreeRegressor(max_leaf_nodes=40, random_state=0).fit(x, np.sin(2 * s[:, 0]) * s[:, 1]))
    margins = {d: margin([split for split in found if split.feature == d]) for d in range(2)}
    assert {split.feature for split in found if split.depth} == {0, 1}
    ((_,), (told, _)) = rank_correlations(found, margins, 2)
    real = spearmanr(x)[0]
    assert abs(told - real) < 0.1 + 0.3 * abs(real) and (
        not rho or told * real > 0
    )  # a tree tells a little less than there is


def test_a_feature_without_a_split_goes_with_no_other():
    s = np.random.default_rng(1).standard_normal((1_000, 2))
    found = splits_of(DecisionTreeRegressor(max_leaf_nodes=10).fit(s[:, :1], s[:, 0]))
    told = rank_correlations(found, {0: margin(found)}, 2)
    assert told[1][0] == pytest.approx(0.0, abs=0.02) and told[1][1] == 1.0
