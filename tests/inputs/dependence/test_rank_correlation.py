"""Laws of rank correlations: draws have those declared, and every feature keeps its own distribution."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantile_features import (
    ATOMS,
    COUNT,
    MANY,
    MIXED,
    NORMAL,
    PLAIN,
    RANKS,
    ROWS,
    SKEWED,
    SWITCH,
    assert_quantiles,
    ranks_of,
)

from dfkd_tune.errors import FeaturesError
from dfkd_tune.generators.low_discrepancy import Halton, LatinHypercube, Sobol
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.testing.problems import raw, rng


def full(rows) -> np.ndarray:
    lower = np.array([row + [0.0] * (len(rows) - len(row)) for row in rows], dtype=float)
    return lower + np.tril(lower, -1).T


def factor(rows, cells) -> torch.Tensor:
    """The matrix that correlates scores."""
    (mixing,) = RankCorrelation(rows).mixings(lambda columns: cells)
    return mixing.along[0]


def test_draws_have_the_declared_rank_correlations():
    x = Inputs(MIXED, dependence=RankCorrelation(RANKS)).draw(ROWS, rng())
    assert np.abs(ranks_of(x) - full(RANKS)).max() < MANY / math.sqrt(ROWS)


@pytest.mark.parametrize("generator", [Sobol(), Halton(), LatinHypercube()], ids=lambda item: type(item).__name__)
def test_samplers_of_low_discrepancy_obey_them_too(generator):
    inputs = Inputs(MIXED, dependence=RankCorrelation(RANKS))
    x = generator.block(inputs, 1, 2**13, generator.engine(len(MIXED), 0))[0]
    assert np.abs(ranks_of(x) - full(RANKS)).max() < MANY / math.sqrt(2**13)
    for i, feature in enumerate(MIXED[:3]):
        assert_quantiles(raw(inputs, x)[:, i], feature)


@pytest.mark.parametrize("feature", [NORMAL, SKEWED, ATOMS, COUNT], ids=lambda feature: feature.name)
def test_correlation_leaves_every_feature_as_it_is(feature):
    inputs = Inputs([PLAIN, feature], dependence=RankCorrelation([[1], [0.5, 1]]))
    assert_quantiles(raw(inputs, inputs.draw(ROWS, rng()))[:, 1], feature)


@given(st.floats(-1, 1))
@settings(max_examples=12, deadline=None)
def test_without_ties_the_sine_rule_holds(rho):
    cells = torch.linspace(0, 1, 4096, dtype=torch.float64)[:, None].expand(-1, 2)
    root = factor([[1.0], [rho, 1.0]], cells)
    assert float((root @ root.T)[0, 1]) == pytest.approx(2 * math.sin(math.pi * rho / 6), abs=2e-3)


def test_a_correlation_out_of_the_features_reach_comes_as_near_as_it_can():
    rare = [Feature(name="often", levels=[0.0, 1.0]), SWITCH]
    x = Inputs(rare, dependence=RankCorrelation([[1], [0.9, 1]])).draw(ROWS, rng())
    assert ranks_of(x) == pytest.approx(1 / 3, abs=0.02)  # all that fit: the rare one occurs only beside the other


def test_a_feature_that_never_changes_depends_on_nothing():
    still = Feature(name="still", levels=[2.0])
    inputs = Inputs([PLAIN, still, SKEWED], dependence=RankCorrelation([[1], [0.7, 1], [0.5, -0.2, 1]]))
    x = raw(inputs, inputs.draw(ROWS, rng()))
    assert bool((x[:, 1] == 2.0).all())
    assert ranks_of(x[:, [0, 2]]) == pytest.approx(0.5, abs=MANY / math.sqrt(ROWS))


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_any_correlations_leave_a_normal_distribution(values):
    rows = [[1.0], [values[0], 1.0], [*values[1:3], 1.0], [*values[3:], 1.0]]
    cells = torch.linspace(0, 1, 4096, dtype=torch.float64)[:, None].expand(-1, 4)
    root = factor(rows, cells)
    assert bool(root.isfinite().all())
    torch.testing.assert_close((root @ root.T).diagonal(), torch.ones(4, dtype=torch.float64))


def test_correlations_that_nearly_contradict_each_other_are_met_nearly():
    rows = [[1], [0.8, 1], [0.8, 0.2, 1]]
    x = Inputs([PLAIN, SKEWED, NORMAL], dependence=RankCorrelation(rows)).draw(ROWS, rng())
    assert np.abs(ranks_of(x) - full(rows)).max() < 0.1


def test_shares_of_a_whole_stay_so():
    shares = [Feature(name=n, quantiles={0.05: 0.1, 0.95: 0.6}) for n in "abc"]
    inputs = Inputs(
        [*shares, SKEWED], simplex=[0, 1, 2], dependence=RankCorrelation([[1], [0, 1], [0, 0, 1], [0.6, 0, 0, 1]])
    )
    z = inputs.draw(ROWS, rng())
    x = raw(inputs, z)
    torch.testing.assert_close(x[:, :3].sum(1), torch.ones(ROWS, dtype=x.dtype))
    assert ranks_of(x)[0, 3] > 0.3
    torch.testing.assert_close(inputs.project(z), z)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (3, ["must be a list of 2 rows", "got 3"]),
        ([[1]], ["must be a list of 2 rows", "got 1 rows"]),
        ([[1], [1]], ["rank_correlation[1]", "2 numbers", "got 1"]),
        ([[1], 0.5], ["rank_correlation[1]", "2 numbers", "got 0.5"]),
        ([[1, 0.5], [0.5, 1]], ["rank_correlation[0]", "1 numbers", "got 2"]),
        ([[1], [1.5, 1]], ["rank_correlation[1][0]", "from -1 to 1", "got 1.5"]),
        ([[1], ["a", 1]], ["rank_correlation[1][0]", "from -1 to 1", "got 'a'"]),
        ([[1], [True, 1]], ["rank_correlation[1][0]", "from -1 to 1", "got True"]),
        ([[1], [math.nan, 1]], ["rank_correlation[1][0]", "from -1 to 1", "got nan"]),
        ([[1], [0.5, 0.9]], ["rank_correlation[1][1]", "with itself is 1", "got 0.9"]),
    ],
)
def test_correlations_that_say_something_impossible(rows, words):
    with pytest.raises(FeaturesError) as caught:
        parse_features({"features": ["a", "b"], "rank_correlation": rows}, "f.yaml")
    assert str(caught.value).startswith("f.yaml: rank_correlation")
    assert len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_correlations_that_contradict_each_other():
    rows = [[1], [-0.9, 1], [-0.9, -0.9, 1]]
    with pytest.raises(FeaturesError, match=r"no data have these correlations \(an eigenvalue is -0\.8\)"):
        parse_features({"features": ["a", "b", "c"], "rank_correlation": rows}, "f.yaml")
