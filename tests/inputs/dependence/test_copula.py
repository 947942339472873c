"""Normal correlations of a feature with itself, with ties and without."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dfkd_tune.inputs.dependence.copula import CELLS, LEAST_EIGENVALUE, alternated, clipped, itself, positive
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.testing.problems import rng

ROWS = 40_000
CELL = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
FEATURES = [
    Feature(name="plain"),
    Feature(name="switch", levels=[0.0, 1.0], probabilities=[0.9, 0.1]),
    Feature(name="three", levels=[0.0, 1.0, 2.0]),
    Feature(name="atoms", quantiles={0.1: 0.0, 0.6: 0.0, 0.7: 2.5, 0.8: 2.5, 0.9: 7.0}),
    Feature(name="count", range=[0.0, 40.0], integer=True),
]


def values_of(feature: Feature, u: torch.Tensor = CELL) -> torch.Tensor:
    return Inputs([feature]).quantile(u[:, None])[:, 0]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("rho", [0.2, 0.9, 0.98])
def test_two_times_of_a_feature_have_the_rank_correlation(feature, rho):
    (r,) = itself(torch.tensor([rho], dtype=torch.float64), values_of(feature)).tolist()
    first, other = torch.randn(2, ROWS, generator=rng(), dtype=torch.float64)
    both = [torch.special.ndtr(first), torch.special.ndtr(r * first + math.sqrt(1 - r * r) * other)]
    found = spearmanr(*(values_of(feature, u) for u in both)).statistic
    spread = 2 / math.sqrt(ROWS * (0.1 if feature.name == "switch" else 1))  # few rows of a rare level decide
    assert found == pytest.approx(rho, abs=4 * spread * (1 - rho**2) + 0.002)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_without_ties_the_sine_rule_holds(rho):
    rho = torch.tensor(rho, dtype=torch.float64)
    torch.testing.assert_close(itself(rho, CELL), 2 * torch.sin(torch.pi / 6 * rho), atol=4e-3, rtol=0)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_it_rises_and_stays_a_correlation(feature):
    r = itself(torch.linspace(-1, 1, 101, dtype=torch.float64), values_of(feature))
    assert bool((r.diff() >= 0).all()) and r.abs().max() <= 1 and r[-1] == pytest.approx(1, abs=1e-6)


def test_a_constant_follows_nothing():
    assert itself(torch.tensor([0.9]), torch.ones(CELLS, dtype=torch.float64)).tolist() == [0.0]


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_correlations_lead_to_the_nearest_that_normal_scores_can_have(lower):
    matrix = torch.eye(4, dtype=torch.float64)
    rows, columns = torch.tril_indices(4, 4, -1)
    matrix[rows, columns] = matrix[columns, rows] = torch.tensor(lower, dtype=torch.float64)
    found = positive(matrix)
    assert float(torch.linalg.eigvalsh(found)[0]) > LEAST_EIGENVALUE / 2
    assert torch.allclose(found.diagonal(), torch.ones(4, dtype=torch.float64))
    # The projection of Dykstra is the nearest: it is as near as any mixture with the identity that is a correlation matrix.
    shares = torch.linspace(0, 1, 101, dtype=torch.float64)
    mixtures = [share * torch.eye(4, dtype=torch.float64) + (1 - share) * matrix for share in shares]
    near = [float((m - matrix).norm()) for m in mixtures if float(torch.linalg.eigvalsh(m)[0]) >= LEAST_EIGENVALUE]
    assert float((found - matrix).norm()) <= min(near) + 2e-3


def test_a_matrix_of_both_sets_is_its_own_projection():
    matrix = clipped(torch.full((3, 3), 0.5, dtype=torch.float64).fill_diagonal_(1.0))
    assert torch.allclose(alternated(matrix, lambda found: found), matrix, atol=1e-12)
