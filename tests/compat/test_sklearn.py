"""Private parts of scikit-learn are there: attributes of fitted estimators."""

import numpy as np
from private_parts import require
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.svm import SVR

from dfkd_tune.compat import sklearn as sklearn_private


def test_fitted_attributes_of_scikit_learn():
    x = np.random.default_rng(0).normal(size=(60, 3))
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5)
    assert not sklearn_private.is_boosted(boosted) and list(sklearn_private.boosted_trees(boosted)) == []
    boosted.fit(x, x.sum(1))
    for name in sklearn_private.BOOSTED:
        require(boosted, name, "sklearn.ensemble.HistGradientBoostingRegressor")
    assert len(list(sklearn_private.boosted_trees(boosted))) == 2
    assert sklearn_private.categorical_features(boosted).shape == (3,)
    machine = SVR().fit(x, x.sum(1))
    for name in (*sklearn_private.SUPPORT_VECTORS, *sklearn_private.COMPILED):
        require(machine, name, "sklearn.svm.SVR")
    count = len(machine.support_vectors_)
    assert sklearn_private.dual_coefficients(machine).shape == (1, count)
    assert sklearn_private.support_counts(machine).shape == (2,) and sklearn_private.intercepts(machine).shape == (1,)
    assert not sklearn_private.is_sparse(machine)
    assert [np.size(each) for each in sklearn_private.probabilities(machine)] == [0, 0]
