"""Laws of quantiles: draws have those declared, nothing leaves the support, and mistakes are named."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from quantile_features import (
    ATOMS,
    COUNT,
    MIXED,
    NORMAL,
    PLAIN,
    RANKS,
    ROWS,
    SKEWED,
    SWITCH,
    assert_quantiles,
    close,
    declared,
)

from dfkd_tune.generators.low_discrepancy import Uniform
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.testing.problems import raw, rng


def quantiles_of(feature: Feature, u) -> torch.Tensor:
    """Values at probabilities, in the user's units."""
    inputs = Inputs([feature])
    return raw(inputs, inputs.quantile(torch.as_tensor(u, dtype=torch.float64)[:, None]))[:, 0]


@given(declared())
@settings(max_examples=25, deadline=None)
def test_the_declared_quantiles_are_the_distributions_own(feature):
    found = quantiles_of(feature, list(feature.quantiles))
    assert found.tolist() == pytest.approx(list(feature.quantiles.values()), abs=close(feature))


@given(declared())
@settings(max_examples=25, deadline=None)
def test_values_rise_within_the_support_and_the_support_within_the_range(feature):
    x = quantiles_of(feature, np.linspace(0, 1, 401))
    low, high = feature.support
    values = list(feature.quantiles.values())
    room = close(feature)
    assert bool((x.diff() >= -room).all())
    assert low - room <= float(x.min()) and float(x.max()) <= high + room
    assert low <= values[0] and values[-1] <= high
    if feature.range is not None:
        assert feature.range[0] <= low and high <= feature.range[1]


@given(declared())
@settings(max_examples=25, deadline=None)
def test_center_and_scale_are_those_of_the_distribution(feature):
    u = (np.arange(20_000) + 0.5) / 20_000
    x = quantiles_of(feature, u)
    spread = float(x.std(unbiased=False))
    assert feature.center == pytest.approx(float(x.mean()), abs=1e-3 * spread + close(feature))
    if spread > close(feature):
        assert feature.scale == pytest.approx(spread, rel=5e-3)
    else:
        assert feature.scale == 1.0


@given(declared())
@settings(max_examples=25, deadline=None)
def test_an_atom_at_the_end_ends_the_distribution(feature):
    values = list(feature.quantiles.values())
    low, high = feature.support
    if values[0] == values[1]:
        assert low == values[0]
    if values[-1] == values[-2]:
        assert high == values[-1]


@pytest.mark.parametrize("feature", [NORMAL, SKEWED, ATOMS, COUNT], ids=lambda feature: feature.name)
def test_draws_have_the_declared_quantiles(feature):
    inputs = Inputs([PLAIN, feature])
    assert_quantiles(raw(inputs, inputs.draw(ROWS, rng()))[:, 1], feature)


def test_atoms_are_as_frequent_as_declared():
    x = quantiles_of(ATOMS, (np.arange(10_000) + 0.5) / 10_000)
    assert float((x == 0.0).double().mean()) == pytest.approx(0.6, abs=1e-3)
    assert float(((x - 3.0).abs() < 1e-9).double().mean()) == pytest.approx(0.15, abs=1e-3)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.4])
def test_two_quantiles_of_a_normal_distribution_declare_all_of_it(p):
    score = float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))
    feature = Feature(name="x", quantiles={p: 5 + 2 * score, 1 - p: 5 - 2 * score})
    u = np.linspace(0.01, 0.99, 99)
    expected = 5 + 2 * torch.special.ndtri(torch.from_numpy(u))
    torch.testing.assert_close(quantiles_of(feature, u), expected)
    assert feature.center == pytest.approx(5.0) and feature.scale == pytest.approx(2.0, rel=0.02)


def test_a_tail_goes_on_no_steeper_than_its_end_and_what_lies_before():
    def reach(quantiles):
        return Feature(name="x", quantiles=quantiles).support[1] - 80.0

    def score(p):
        return float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))

    rest = score(0.9999) - score(0.99)
    steep, flat = {0.5: 0.0, 0.9: 79.0, 0.989: 79.5, 0.99: 80.0}, {0.5: 0.0, 0.9: 1.0, 0.98: 79.0, 0.99: 80.0}
    assert reach(steep) == pytest.approx(rest * 1.0 / (score(0.99) - score(0.9)))
    assert reach(flat) == pytest.approx(rest * 1.0 / (score(0.99) - score(0.98)))


def test_units_may_be_given():
    feature = Feature(name="x", mean=0.3, std=7.0, quantiles={0.1: 0.0, 0.9: 1.0})
    assert (feature.center, feature.scale) == (0.3, 7.0)
    assert quantiles_of(feature, [0.1, 0.9]).tolist() == pytest.approx([0.0, 1.0])


def test_whole_numbers_stay_whole_and_within_the_range():
    feature = Feature(name="x", quantiles={0.3: 0.7, 0.9: 4.2}, range=[0.6, 4.4], integer=True)
    x = quantiles_of(feature, np.linspace(0, 1, 999))
    assert set(x.round().tolist()) == {1.0, 2.0, 3.0, 4.0}
    assert float((x - x.round()).abs().max()) < 1e-9
    assert feature.support == (1, 4)


def test_synthetic_inputs_are_held_within_the_support():
    inputs = Inputs(MIXED)
    x = raw(inputs, inputs.project(1e3 * torch.randn(500, len(MIXED), generator=rng(), dtype=torch.float64)))
    for i, feature in enumerate(MIXED[:-1]):
        low, high = feature.support
        assert low - 1e-6 <= float(x[:, i].min()) and float(x[:, i].max()) <= high + 1e-6


def test_a_heavy_tail_is_no_box():
    heavy = Feature(name="heavy", quantiles={0.01: 0.0, 0.9: 1.0, 0.99: 50.0})
    inputs = Inputs([heavy, Feature(name="ranged", range=[0.0, 1.0])])
    assert float(inputs.high[0]) > 4
    z = Uniform(reach=3.0).block(inputs, 1, ROWS, Uniform().engine(2, 0))[0]
    assert float(z[:, 0].max()) <= 3.0 + 1e-9
    assert 1.7 < float(z[:, 1].max()) <= math.sqrt(3) + 1e-9


def test_same_seed_same_draws_in_either_precision():
    inputs = Inputs(MIXED, dependence=RankCorrelation(RANKS))
    assert torch.equal(inputs.draw(50, rng(3)), inputs.draw(50, rng(3)))
    u = torch.rand(500, len(MIXED), generator=rng(), dtype=torch.float64)
    assert inputs.quantile(u.float()).dtype == torch.float32
    gap = (inputs.quantile(u.float()).double() - inputs.quantile(u)).abs()
    assert float(gap.median()) < 1e-5


def test_the_highest_kind_of_knowledge_names_the_tier():
    ranked = [PLAIN, Feature(name="other", mean=0.0, std=1.0)]
    assert Inputs([PLAIN, SWITCH]).tier == "T2"
    assert Inputs([PLAIN, SKEWED]).tier == "T3"
    assert Inputs([PLAIN, SKEWED], dependence=RankCorrelation([[1], [0.5, 1]])).tier == "T4"
    assert Inputs(ranked, dependence=RankCorrelation([[1], [0.5, 1]])).tier == "T4"


def test_the_fingerprint_follows_quantiles_and_correlations():
    made = [
        Inputs([PLAIN, SKEWED]),
        Inputs([PLAIN, Feature(name="skewed")]),
        Inputs([PLAIN, Feature(name="skewed", quantiles={**SKEWED.quantiles, 0.99: 11.0})]),
        Inputs([PLAIN, Feature(name="skewed", quantiles={0.25: 0.5, 0.5: 1.0})]),
        Inputs([PLAIN, SKEWED], dependence=RankCorrelation([[1], [0.5, 1]])),
        Inputs([PLAIN, SKEWED], dependence=RankCorrelation([[1], [0.4, 1]])),
    ]
    prints = [inputs.fingerprint() for inputs in made]
    assert len(set(prints)) == len(prints)
    again = [Inputs(i.features, i.simplex, i.dependence).fingerprint() for i in made]
    assert prints == again


def test_the_fingerprint_of_what_declares_neither_is_the_one_that_studies_remember():
    features = [Feature(name="a"), Feature(name="b", mean=1.0, std=2.0), Feature(name="c", levels=[0.0, 1.0])]
    remembered = "3e238a002459936695df2c2113348d7fc229888d6c275683a20a94e4042c129d"
    assert Inputs(features, simplex=[0, 1]).fingerprint() == remembered


def test_a_file_declares_quantiles_and_correlations(tmp_path):
    text = """
features:
  - a
  - {name: b, quantiles: {0.05: 0, .5: 1, 0.95: 2e1}, range: [0, 100]}
rank_correlation:
  - [1]
  - [-0.5, 1]
"""
    path = tmp_path / "features.yaml"
    path.write_text(text)
    inputs = read_features(path)
    assert inputs.features[1] == Feature(name="b", quantiles={0.05: 0.0, 0.5: 1.0, 0.95: 20.0}, range=[0.0, 100.0])
    assert inputs.dependence.rows == ((1.0,), (-0.5, 1.0))
    decimal = Inputs([Feature(name="a"), inputs.features[1]], dependence=RankCorrelation([[1.0], [-0.5, 1.0]]))
    assert inputs.fingerprint() == decimal.fingerprint()
