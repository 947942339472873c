"""Laws of the sums behind rank correlations: one row changes them by no more than the sensitivity, and they tell Spearman's."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import rankdata, spearmanr

from dfkd_tune.inputs.dependence.copula import LEAST_EIGENVALUE
from dfkd_tune.tables.private.correlations import bound, correlations_of, sensitivity, sums, tables_of

SCORES = st.floats(-1e6, 1e6)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 9).flatmap(lambda width: arrays.arrays(float, (3, width), elements=SCORES)))
def test_a_row_changes_the_sums_by_no_more_than_the_sensitivity(scores):
    change = sums(scores) - sums(scores[:-1])
    assert np.linalg.norm(change) <= sensitivity(scores.shape[1])
    assert (sums(scores[::-1]) == sums(scores)).all()  # the order of rows is no part of them


def test_the_sensitivity_is_reached():
    alone = np.zeros((1, 4))
    alone[0, 0] = 1e9
    assert np.linalg.norm(sums(alone)) > 0.95 * sensitivity(4)
    assert sums(alone)[0] <= 5 * bound(4)


def drawn(rows=4_000):
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, rows))
    return np.stack([a, np.exp(a + b), np.floor(2 * c - a), np.zeros(rows)], axis=1)


def of(x, noise=0.0):
    scores = np.apply_along_axis(rankdata, 0, x)
    scores = (scores - scores.mean(0)) / np.where(scores.std(0) > 0, scores.std(0), 1)
    noised = sums(scores) + np.random.default_rng(2).normal(0, noise, x.shape[1] * (x.shape[1] + 1) // 2)
    return correlations_of(noised, len(x), noise, np.array([False, False, False, True]))


def test_without_noise_they_tell_spearmans_correlations():
    matrix, error = of(drawn())
    assert error == 0
    assert matrix[:3, :3] == pytest.approx(spearmanr(drawn()[:, :3])[0], abs=0.03)
    assert (matrix[3] == [0, 0, 0, 1]).all()


def test_noise_makes_a_correlation_matrix_and_is_told():
    noise = 0.2 * 4_000 * 64**2 * 7
    matrix, error = of(drawn(), noise)
    assert error == pytest.approx(0.2, rel=0.3)
    assert np.linalg.eigvalsh(matrix)[0] >= LEAST_EIGENVALUE / 2 and np.diag(matrix) == pytest.approx(1)
    drowned, _ = of(drawn(), 100 * noise)
    assert np.abs(drowned - np.eye(4)).max() < 0.75


def test_ranks_are_standardized():
    (table, still) = tables_of([np.array([0.5, 0.2, 0.3]), np.array([1.0, 0.0])])
    shares = np.array([0.5, 0.2, 0.3])
    assert (shares * table).sum() == pytest.approx(0) and (shares * table**2).sum() == pytest.approx(1)
    assert (np.diff(table) > 0).all() and not still.any()
