"""The guard lets rows of the declared inputs pass, in Python and in C, and no others."""

import numpy as np
import pytest
import torch
from guarded_rows import INPUTS

from dfkd_tune import Feature, Inputs
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.domain.fit import CORRELATED, SHARE, domain_of
from dfkd_tune.inputs.domain.rule import in_domain


@pytest.fixture(scope="module")
def tree() -> dict:
    found = domain_of(INPUTS, 0)
    assert found is not None
    return found.tree()


def test_rows_of_the_prior_pass_as_often_as_is_said(tree):
    x = INPUTS.raw(INPUTS.draw(20_000, torch.Generator().manual_seed(9))).numpy()
    assert float(in_domain(tree, x).mean()) == pytest.approx(SHARE, abs=1e-3)


def test_what_does_not_go_together_is_far():
    """Each of the two values is usual by itself."""
    features = [Feature("a", mean=0.0, std=1.0), Feature("b", mean=0.0, std=1.0)]
    together, apart = (
        domain_of(Inputs(features, dependence=each), 0).tree() for each in (RankCorrelation([[1], [0.95, 1]]), None)
    )
    row = np.array([[2.0, -2.0]])
    assert not in_domain(together, row)[0] and in_domain(apart, row)[0]
    assert in_domain(together, -abs(row))[0]


def test_many_features_have_distances_without_correlations():
    many = Inputs([Feature(f"x{i}", mean=0.0, std=1.0) for i in range(CORRELATED + 1)])
    found = domain_of(many, 0)
    assert found.whitening is None and in_domain(found.tree(), np.zeros((1, CORRELATED + 1)))[0]
    assert domain_of(Inputs([Feature(f"x{i}") for i in range(2_000)]), 0) is None


@pytest.mark.parametrize("levels", [[1e-7, 2e-7], [20230101.0, 20230102.0, 20230104.0], [0.0, 1.0], [0.0], [-0.1, 0.3]])
def test_levels_of_any_size_are_told_from_what_lies_between(levels):
    inputs = Inputs([Feature("a", levels=levels), Feature("b")])
    tree = domain_of(inputs, 0).tree()
    apart = min(np.diff(levels), default=1.0)
    on = np.array([[each, 0.0] for each in levels])
    assert in_domain(tree, on).all()
    assert not in_domain(tree, on + np.array([0.3 * apart, 0.0])).any()
    rows = inputs.raw(inputs.draw(500, torch.Generator().manual_seed(0)), torch.float32).numpy()
    if np.abs(levels).max() < 1e7:
        assert in_domain(tree, rows).mean() > 0.98
