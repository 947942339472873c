"""Plausible dependence has the correlation that it is made for."""

import numpy as np
import pytest

from dfkd_tune.evaluation.knowledge.dependence import INDEPENDENT, correlation, gaussian, grouped

WIDTH = 7


def full(rows):
    lower = np.zeros((WIDTH, WIDTH))
    for i, row in enumerate(rows):
        lower[i, : i + 1] = row
    return lower + lower.T - np.diag(np.diag(lower))


def total(mixture):
    """Covariance of the scores of all groups together."""
    means = [np.array(group.mean) for group in mixture.groups]
    np.testing.assert_allclose(sum(g.share * m for g, m in zip(mixture.groups, means, strict=True)), 0, atol=1e-9)
    parts = zip(mixture.groups, means, strict=True)
    return sum(group.share * (full(group.covariance) + np.outer(mean, mean)) for group, mean in parts)


@pytest.mark.parametrize("seed", range(6))
def test_groups_have_a_given_correlation_together(seed):
    rng = np.random.default_rng(seed)
    matrix = correlation(WIDTH, rng, 0.7)
    mixture = grouped(matrix, rng)
    assert 2 <= len(mixture.groups) <= 16
    np.testing.assert_allclose(total(mixture), matrix, atol=1e-8)
    assert all(np.linalg.eigvalsh(full(group.covariance))[0] > -1e-9 for group in mixture.groups)
    np.testing.assert_allclose(total(gaussian(matrix)), matrix, atol=1e-12)


def test_a_loose_mixture_keeps_its_variances():
    rng = np.random.default_rng(0)
    found = total(grouped(correlation(WIDTH, rng, 0.9), rng, 0.3))
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-8)


def test_correlations_grow_with_their_place():
    def strength(place):
        found = correlation(40, np.random.default_rng(1), place)
        np.testing.assert_allclose(np.diag(found), 1)
        assert np.linalg.eigvalsh(found)[0] > -1e-9
        return np.abs(found - np.eye(40)).mean()

    assert strength(INDEPENDENT / 2) == 0 < strength(0.3) < strength(0.6) < strength(0.99)
