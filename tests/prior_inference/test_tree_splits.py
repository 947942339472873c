"""Splits of tree ensembles: where they part the rows, and of what they tell nothing."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor
from tree_ensembles import BAGGED, ENSEMBLES, WITHOUT, X, fitted, teacher

from dfkd_tune.prior_inference.resolve import ENCODED, with_inputs
from dfkd_tune.prior_inference.tree_splits import LEAST_FRACTION, TREES, splits_of


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_split_is_read_as_it_parts_the_rows(name):
    found = splits_of(fitted(ENSEMBLES[name]))
    assert found
    where = {}
    for i, split in enumerate(found):
        here = np.ones(len(X), bool)
        if split.parent >= 0:
            assert split.parent < i
            above, came = found[split.parent], where[split.parent]
            below = X[:, above.feature] <= above.threshold
            here = came & (below if split.went_below else ~below)
            assert split.depth == above.depth + 1
        where[i] = here
        value = X[here, split.feature]
        assert ((value > split.low) & (value <= split.high)).all()
        off = abs((value <= split.threshold).sum() - split.below) + abs((value > split.threshold).sum() - split.above)
        assert off <= 2  # a tree compares in float32


@pytest.mark.parametrize("name", BAGGED)
def test_a_bagged_tree_counts_as_often_as_it_saw_a_row(name):
    roots = [split for split in splits_of(fitted(BAGGED[name])) if split.parent < 0]
    assert len(roots) >= 10
    for root in roots:
        assert root.rows == len(X)
        assert root.below / root.rows == pytest.approx((X[:, root.feature] <= root.threshold).mean(), abs=0.04)


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_not_told_is_not_made_up(name, tmp_path):
    assert splits_of(fitted(WITHOUT[name])) == []
    inferred = with_inputs(teacher(fitted(WITHOUT[name]), tmp_path), None)[1].inferred
    assert inferred is None or inferred.told == ENCODED  # levels, which an encoder tells


def test_few_rows_and_many_trees_say_little():
    """A split of few rows is passed over, and of many trees those are read that are evenly spread."""
    deep = splits_of(DecisionTreeRegressor(random_state=0).fit(X[:, :2], X[:, 0] * X[:, 1]))
    assert min(split.rows for split in deep) >= LEAST_FRACTION * len(X)

    from sklearn.ensemble import GradientBoostingRegressor

    many = GradientBoostingRegressor(n_estimators=TREES + 100, max_depth=1, subsample=0.05).fit(X[:, :2], X[:, 0])
    assert len(splits_of(many)) == TREES
