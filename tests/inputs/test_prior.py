"""Laws of declared inputs: draws are what was declared, projection lands in the declared set, and mistakes are named."""

import math

import pytest
import torch

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.testing.problems import raw, rng

ROWS = 40_000
MANY = 5.0
"""Standard errors within which a correct statistic lies."""

PLAIN = Feature(name="plain")
SCALED = Feature(name="scaled", mean=1e4, std=3e-2)
RANGED = Feature(name="ranged", range=[-2.0, 6.0])
CUT = Feature(name="cut", mean=1.0, std=2.0, range=[0.0, 4.0])
LOOSE = Feature(name="loose", mean=5.0, std=2.0, range=[-20.0, 30.0])
LEVELED = Feature(name="leveled", levels=[3.0, -1.0, 10.0], probabilities=[0.2, 0.7, 0.1])
YEARS = Feature(name="years", levels=[2021.0, 2019.0, 2020.0])
SINGLE = Feature(name="single", levels=[7.0])
CLOSE = Feature(name="close", levels=[1e6, 1e6 + 0.5])
NAMED = Feature(name="named", mean=10.0, std=4.0, levels=[5.0, 15.0])
COUNTED = Feature(name="counted", range=[0.4, 5.6], integer=True)
WHOLE = Feature(name="whole", mean=3.2, std=2.0, integer=True)
HEAVY = Feature(name="heavy", quantiles={0.05: -1.0, 0.5: 0.0, 0.95: 4.0, 0.99: 30.0})
ATOMS = Feature(name="atoms", quantiles={0.1: 0.0, 0.6: 0.0, 0.7: 2.5, 0.8: 2.5, 0.9: 7.0}, range=[0.0, 8.0])
NUMBERS = Feature(name="numbers", quantiles={0.2: 1.4, 0.5: 3.0, 0.9: 8.8}, integer=True)
ALL = (PLAIN, SCALED, RANGED, CUT, LOOSE, LEVELED, YEARS, SINGLE, CLOSE, NAMED, COUNTED, WHOLE, HEAVY, ATOMS, NUMBERS)
SHARES = Inputs([Feature(name=n, mean=1 / 3, std=0.23) for n in "abc"] + [SCALED], simplex=[0, 1, 2])


def draws(feature: Feature, rows=ROWS) -> torch.Tensor:
    """Draws of one feature, in its own units."""
    inputs = Inputs([PLAIN, feature, PLAIN])
    return raw(inputs, inputs.draw(rows, rng()))[:, 1]


# --- draws are what was declared --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "mean", "std"),
    [
        (PLAIN, 0.0, 1.0),
        (SCALED, 1e4, 3e-2),
        (LOOSE, 5.0, 2.0),
        (RANGED, 2.0, 8.0 / math.sqrt(12.0)),
        (LEVELED, 0.9, math.sqrt(0.2 * 2.1**2 + 0.7 * 1.9**2 + 0.1 * 9.1**2)),
        (YEARS, 2020.0, math.sqrt(2 / 3)),
        (NAMED, 10.0, 5.0),
        (COUNTED, 3.0, math.sqrt(2.0)),
        (WHOLE, 3.2, math.sqrt(4.0 + 1 / 12)),
    ],
    ids=lambda value: value.name if isinstance(value, Feature) else "",
)
def test_draws_have_the_mean_and_spread_declared(feature, mean, std):
    x = draws(feature)
    assert abs(float(x.mean()) - mean) < MANY * std / math.sqrt(ROWS)
    fourth = float((x - mean).pow(4).mean())
    assert abs(float((x - mean).square().mean()) - std**2) < MANY * math.sqrt((fourth - std**4) / ROWS) + 1e-6 * std**2


@pytest.mark.parametrize("feature", [PLAIN, SCALED])
def test_a_declared_mean_and_deviation_give_a_normal_distribution(feature):
    z = (draws(feature) - feature.center) / feature.scale
    for edge in (-2.0, -1.0, -0.3, 0.0, 0.7, 1.5):
        share = 0.5 * (1 + math.erf(edge / math.sqrt(2)))
        assert abs(float((z <= edge).double().mean()) - share) < MANY * math.sqrt(share * (1 - share) / ROWS)


def test_a_declared_range_is_filled_evenly_and_never_left():
    x = draws(RANGED)
    assert -2.0 <= float(x.min()) < -1.99 and 5.99 < float(x.max()) <= 6.0
    counts = torch.histc(x, bins=8, min=-2.0, max=6.0) / ROWS
    assert float((counts - 1 / 8).abs().max()) < MANY * math.sqrt(7 / 64 / ROWS)


def test_mean_and_deviation_with_a_range_are_a_normal_distribution_cut_to_it():
    def below(edge):
        return 0.5 * (1 + math.erf((edge - CUT.mean) / CUT.std / math.sqrt(2)))

    x = draws(CUT)
    assert 0.0 <= float(x.min()) < 0.01 and 3.99 < float(x.max()) <= 4.0
    for edge in (0.5, 1.0, 2.0, 3.5):
        share = (below(edge) - below(0.0)) / (below(4.0) - below(0.0))
        assert abs(float((x <= edge).double().mean()) - share) < MANY * math.sqrt(share * (1 - share) / ROWS)


@pytest.mark.parametrize("feature", [LEVELED, YEARS, SINGLE, CLOSE, NAMED], ids=lambda feature: feature.name)
def test_declared_levels_occur_as_often_as_declared_and_nothing_else_does(feature):
    nearest, distance = nearest_level(draws(feature), feature.levels)
    assert distance <= 1e-9 * max(map(abs, feature.levels))
    shares = feature.probabilities or [1 / len(feature.levels)] * len(feature.levels)
    for i, share in enumerate(shares):
        assert abs(float((nearest == i).double().mean()) - share) <= MANY * math.sqrt(share * (1 - share) / ROWS)


def test_a_level_of_probability_zero_never_occurs():
    for shares in ([0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]):
        x = draws(Feature(name="x", levels=[1.0, 2.0, 3.0], probabilities=shares))
        never = 1.0 + shares.index(0.0)
        assert not bool(((x - never).abs() < 0.5).any())


def test_whole_numbers_of_a_range_are_equally_likely():
    x = draws(COUNTED)
    assert float((x - x.round()).abs().max()) < 1e-9
    assert set(x.round().int().tolist()) == {1, 2, 3, 4, 5}
    for value in (1, 3, 5):
        assert abs(float((x.round() == value).double().mean()) - 0.2) < MANY * math.sqrt(0.16 / ROWS)


def test_shares_sum_to_one_and_none_is_favored():
    x = raw(SHARES, SHARES.draw(ROWS, rng()))[:, :3]
    torch.testing.assert_close(x.sum(1), torch.ones(ROWS, dtype=x.dtype))
    assert float(x.min()) >= -1e-12
    spread = float(x.std())
    assert 0.05 < spread < 0.4
    assert float((x.mean(0) - 1 / 3).abs().max()) < MANY * spread / math.sqrt(ROWS)


def test_features_are_drawn_independently():
    z = Inputs([PLAIN, RANGED, LEVELED, SCALED]).draw(ROWS, rng())
    off = torch.corrcoef(z.T) - torch.eye(4, dtype=z.dtype)
    assert float(off.abs().max()) < MANY / math.sqrt(ROWS)


def test_same_seed_same_draws():
    inputs = Inputs(ALL)
    assert torch.equal(inputs.draw(50, rng(3)), inputs.draw(50, rng(3)))
    assert not torch.equal(inputs.draw(50, rng(3)), inputs.draw(50, rng(4)))
    assert inputs.draw(50, rng()).dtype == torch.float64


@pytest.mark.parametrize("feature", ALL, ids=lambda feature: feature.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantiles_rise_and_are_finite_up_to_the_edges(feature, dtype):
    u = torch.cat([torch.zeros(1), torch.linspace(0, 1, 999), torch.ones(1)]).to(dtype)
    z = Inputs([feature]).quantile(u[:, None])[:, 0]
    assert z.dtype == dtype
    assert bool(torch.isfinite(z).all())
    assert bool((z.diff() >= 0).all())
    assert bool((z.diff() > 0).any()) or feature is SINGLE


# --- projection -------------------------------------------------------------------------------------------------------


def nearest_level(x: torch.Tensor, levels: list[float]) -> tuple[torch.Tensor, float]:
    """Index of the nearest level of every point, and the largest distance to it."""
    gaps = (x[:, None].double() - torch.tensor(levels, dtype=torch.float64)).abs()
    distance, nearest = gaps.min(1)
    return nearest, float(distance.max())


def anywhere(inputs: Inputs, dtype) -> torch.Tensor:
    """Standardized points far beyond every range, edges and infinities included."""
    z = 4 * torch.randn(2_000, len(inputs), generator=rng(), dtype=torch.float64)
    z[0], z[1], z[2], z[3], z[4] = 0.0, 1e6, -1e6, math.inf, -math.inf
    return z.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_lands_in_the_declared_set_and_stays(dtype):
    inputs = Inputs(ALL)
    z = inputs.project(anywhere(inputs, dtype))
    x = raw(inputs, z.double())
    tolerance = 8 * torch.finfo(dtype).eps
    for i, feature in enumerate(ALL):
        room = tolerance * (abs(feature.center) + 10 * feature.scale)
        if feature.range is not None:
            assert feature.range[0] - room <= float(x[:, i].min()) and float(x[:, i].max()) <= feature.range[1] + room
        if feature.levels is not None:
            assert nearest_level(x[:, i], feature.levels)[1] <= room
        if feature.integer:
            finite = x[5:, i]
            assert float((finite - finite.round()).abs().max()) <= 100 * room
    assert z.dtype == dtype
    torch.testing.assert_close(inputs.project(z), z, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 1e-12)
    exact = [i for i, feature in enumerate(ALL) if not feature.integer]
    assert torch.equal(inputs.project(z)[:, exact], z[:, exact])


def test_projection_keeps_whole_numbers_apart_that_float32_does_not():
    inputs = Inputs([Feature(name="stamp", range=[1.7e9, 1.7e9 + 1_000], integer=True)])
    z = inputs.project(torch.linspace(-3, 3, 5_000)[:, None])
    x = raw(inputs, z.double())
    assert z.dtype == torch.float32 and len(x.unique()) > 900
    assert x.min() >= 1.7e9 - 1e-3 and x.max() <= 1.7e9 + 1_000 + 1e-3
    assert float((x - x.round()).abs().max()) < 1e-3


def test_projection_moves_to_the_nearest_point():
    inputs = Inputs([RANGED, LEVELED])
    z = anywhere(inputs, torch.float64)[:3]
    x = raw(inputs, inputs.project(torch.cat([z, torch.tensor([[0.3, 0.4]], dtype=torch.float64)])))
    assert x[:, 0].tolist() == pytest.approx([2.0, 6.0, -2.0, 0.3 * RANGED.scale + 2.0])
    assert x[:, 1].tolist() == pytest.approx([-1.0, 10.0, -1.0, 3.0])


@pytest.mark.parametrize("inputs", [Inputs(ALL), SHARES], ids=["features", "simplex"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_lie_where_projection_leaves_them(inputs, dtype):
    z = inputs.draw(2_000, rng()).to(dtype)
    torch.testing.assert_close(inputs.project(z), z, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_projection_onto_shares():
    z = inputs_beyond = 3 * torch.randn(500, 4, generator=rng(), dtype=torch.float64)
    x = raw(SHARES, SHARES.project(z))
    torch.testing.assert_close(x[:, :3].sum(1), torch.ones(500, dtype=x.dtype))
    assert float(x[:, :3].min()) >= -1e-12 and float(x[:, :3].max()) <= 1 + 1e-12
    torch.testing.assert_close(SHARES.project(z)[:, 3], inputs_beyond[:, 3])
    nothing = torch.full((1, 4), -9.0, dtype=torch.float64)
    assert raw(SHARES, SHARES.project(nothing))[0, :3].tolist() == pytest.approx([1 / 3] * 3)


def test_projection_never_writes_to_its_argument():
    for inputs in (Inputs(ALL), SHARES, Inputs.unknown(4)):
        z = anywhere(inputs, torch.float64)[5:]
        before = z.clone()
        inputs.project(z)
        assert torch.equal(z, before)


def test_projection_leaves_the_unknown_alone():
    z = anywhere(Inputs.unknown(3), torch.float64)
    assert torch.equal(Inputs.unknown(3).project(z), z)
    assert torch.equal(Inputs([SCALED]).project(z[:, :1]), z[:, :1])


def test_projection_of_stacked_members_is_that_of_each():
    inputs = Inputs(ALL)
    z = anywhere(inputs, torch.float64)[5:].reshape(5, 399, len(inputs))
    assert torch.equal(inputs.project(z), torch.stack([inputs.project(part) for part in z]))


def test_spread_fills_ranges_and_the_given_reach():
    inputs = Inputs([PLAIN, RANGED, LEVELED])
    u = torch.rand(ROWS, 3, generator=rng(), dtype=torch.float64)
    x = raw(inputs, inputs.spread(u, reach=2.5))
    assert -2.5 <= float(x[:, 0].min()) < -2.49 and 2.49 < float(x[:, 0].max()) <= 2.5
    assert -2.0 <= float(x[:, 1].min()) < -1.99 and 5.99 < float(x[:, 1].max()) <= 6.0
    assert nearest_level(x[:, 2], LEVELED.levels)[1] < 1e-9


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "center", "scale"),
    [
        (PLAIN, 0.0, 1.0),
        (SCALED, 1e4, 3e-2),
        (RANGED, 2.0, 8.0 / math.sqrt(12.0)),
        (CUT, 1.0, 2.0),
        (YEARS, 2020.0, math.sqrt(2 / 3)),
        (SINGLE, 7.0, 1.0),
        (NAMED, 10.0, 4.0),
    ],
    ids=lambda value: value.name if isinstance(value, Feature) else "",
)
def test_standardized_units(feature, center, scale):
    inputs = Inputs([PLAIN, feature])
    assert (feature.center, feature.scale) == (pytest.approx(center), pytest.approx(scale))
    assert inputs.center.tolist() == pytest.approx([0.0, center])
    assert inputs.scale.tolist() == pytest.approx([1.0, scale])


def test_nothing_known_means_that_raw_and_standardized_units_are_the_same():
    inputs = Inputs.unknown(5)
    z = inputs.draw(10, rng())
    assert torch.equal(raw(inputs, z), z)
    assert len(inputs) == 5 and len(set(inputs.names)) == 5


def test_tiers():
    assert Inputs.unknown(3).tier == "T0"
    assert Inputs([PLAIN, Feature(name="other")]).tier == "T0"
    for feature in (SCALED, RANGED, CUT, LEVELED, SINGLE):
        assert Inputs([PLAIN, feature]).tier == "T2"
    assert Inputs([PLAIN, Feature(name="other")], simplex=[0, 1]).tier == "T2"


def test_the_fingerprint_follows_every_declaration():
    base = {"name": "x", "mean": 1.0, "std": 2.0, "range": [0.0, 3.0]}
    levels = {"name": "x", "levels": [1.0, 2.0]}
    declarations = [
        [base],
        [base | {"name": "y"}],
        [base | {"mean": 1.5}],
        [base | {"std": 2.5}],
        [base | {"range": [0.0, 4.0]}],
        [base | {"integer": True}],
        [levels],
        [levels | {"levels": [1.0, 3.0]}],
        [levels | {"probabilities": [0.5, 0.5]}],
        [levels | {"probabilities": [0.4, 0.6]}],
        [{"name": "x"}],
        [{"name": "x"}, {"name": "y"}],
        [{"name": "y"}, {"name": "x"}],
    ]
    made = [Inputs([Feature(**item) for item in items]) for items in declarations]
    made.append(Inputs(made[-1].features, simplex=[0, 1]))
    prints = [inputs.fingerprint() for inputs in made]
    assert len(set(prints)) == len(prints)
    assert prints == [Inputs(inputs.features, inputs.simplex).fingerprint() for inputs in made]
