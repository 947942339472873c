"""Laws of declared inputs: draws are what was declared, projection lands in the declared set, and mistakes are named."""

import math
from contextlib import contextmanager

import pytest
import torch

from dfkd_tune import yamls
from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.feature import Feature
from dfkd_tune.features_file import read_features
from dfkd_tune.inputs import Inputs
from dfkd_tune.strategy import build

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


@contextmanager
def fails(place, *words, kind=FeaturesError):
    """Expect one line of exactly this kind that names the place and says the words."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert type(caught.value) is kind
    assert len(message.splitlines()) == 1
    for word in (str(place), *words):
        assert word in message


def rng(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raw(inputs: Inputs, z: torch.Tensor) -> torch.Tensor:
    """Points in the user's units."""
    return z * inputs.scale.to(z) + inputs.center.to(z)


def draws(feature: Feature, rows=ROWS) -> torch.Tensor:
    """Draws of one feature, in its own units."""
    inputs = Inputs([PLAIN, feature, PLAIN])
    return raw(inputs, inputs.draw(rows, rng()))[:, 1]


def write(tmp_path, text: str):
    path = tmp_path / "features.yaml"
    path.write_text(text, encoding="utf-8")
    return path


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


# --- what a declaration must not say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["x.name", "required"]),
        ({"name": ""}, ["x.name", "at least 1 character"]),
        ({"name": 3}, ["x.name", "valid string", "got 3"]),
        ({"mean": 1.0}, ["mean and std are given together"]),
        ({"std": 1.0}, ["mean and std are given together"]),
        ({"mean": 1.0, "std": 0.0}, ["x.std", "greater than 0", "got 0.0"]),
        ({"mean": 1.0, "std": -2.0}, ["x.std", "greater than 0", "got -2.0"]),
        ({"mean": "1", "std": 1.0}, ["x.mean", "valid number", "got '1'"]),
        ({"mean": True, "std": 1.0}, ["x.mean", "valid number", "got True"]),
        ({"mean": math.nan, "std": 1.0}, ["x.mean", "finite", "got nan"]),
        ({"mean": 0.0, "std": math.inf}, ["x.std", "finite", "got inf"]),
        ({"range": [1.0]}, ["x.range", "at least 2", "got [1.0]"]),
        ({"range": [1.0, 2.0, 3.0]}, ["x.range", "at most 2", "got [1.0, 2.0, 3.0]"]),
        ({"range": 3.0}, ["x.range", "valid list", "got 3.0"]),
        ({"range": [2.0, 1.0]}, ["low < high", "[2.0, 1.0]"]),
        ({"range": [1.0, 1.0]}, ["low < high", "[1.0, 1.0]"]),
        ({"range": [0.0, math.inf]}, ["x.range.1", "finite", "got inf"]),
        ({"range": [-1e308, 1e308]}, ["span more than a number can hold"]),
        ({"range": [0.0, 1.0], "levels": [0.0]}, ["range and levels exclude each other"]),
        ({"range": [0.0, 1.0], "mean": 2.0, "std": 1.0}, ["mean 2.0 lies outside range [0.0, 1.0]"]),
        ({"range": [0.2, 0.8], "integer": True}, ["no whole number", "[0.2, 0.8]"]),
        ({"integer": 1}, ["x.integer", "boolean", "got 1"]),
        ({"levels": []}, ["x.levels", "at least 1", "got []"]),
        ({"levels": [1.0, 2.0, 1.0]}, ["levels must differ"]),
        ({"levels": ["a"]}, ["x.levels.0", "valid number", "got 'a'"]),
        ({"levels": [0.0, 1e200]}, ["span more than a number can hold"]),
        ({"probabilities": [1.0]}, ["probabilities need as many levels"]),
        ({"levels": [1.0, 2.0], "probabilities": [1.0]}, ["probabilities need as many levels"]),
        ({"levels": [1.0, 2.0], "probabilities": [0.5, 0.6]}, ["must sum to 1", "1.1"]),
        ({"levels": [1.0, 2.0], "probabilities": [-0.5, 1.5]}, ["x.probabilities.0", "greater than or equal", "-0.5"]),
        ({"median": 1.0}, ["x.median", "unknown key", "known keys: name, mean, std, range, levels"]),
        ({7: 1.0}, ["a key must be a word", "got 7"]),
    ],
)
def test_declarations_that_say_something_impossible(values, words):
    values = values if not values or "name" in values else {"name": "x"} | values
    with fails("x", *words, kind=SpecError):
        build(Feature, values, "x")


def test_a_rule_between_fields_names_them_and_nothing_else():
    with pytest.raises(SpecError) as caught:
        build(Feature, {"name": "x", "mean": 1.0}, "place")
    assert str(caught.value) == "place: mean and std are given together"


def test_probabilities_may_be_rounded():
    feature = Feature(name="x", levels=[1.0, 2.0, 3.0], probabilities=[0.333, 0.333, 0.333])
    assert feature.weights == pytest.approx([1 / 3] * 3)


def test_a_declaration_cannot_be_changed():
    with pytest.raises(AttributeError):
        PLAIN.mean = 3.0


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_features_file_says_what_it_says(tmp_path):
    text = """
features:
  - age
  - {name: load, mean: 3, std: 1e-3}
  - {name: valve, levels: [0, 1, 4], probabilities: [1, 0, 0]}
  - {name: température, range: [-5, 1E+2]}
  - {name: count, range: [0, 9], integer: true}
simplex: [age, load]
"""
    inputs = read_features(write(tmp_path, text))
    assert inputs.features == (
        Feature(name="age", mean=0.5, std=math.sqrt(1 / 12)),
        Feature(name="load", mean=3.0, std=0.001),
        Feature(name="valve", levels=[0.0, 1.0, 4.0], probabilities=[1.0, 0.0, 0.0]),
        Feature(name="température", range=[-5.0, 100.0]),
        Feature(name="count", range=[0.0, 9.0], integer=True),
    )
    assert inputs.names == ["age", "load", "valve", "température", "count"]
    assert inputs.simplex == (0, 1)


def test_whole_and_decimal_numbers_declare_the_same(tmp_path):
    whole = read_features(write(tmp_path, "features: [{name: x, mean: 1, std: 2, range: [0, 3]}]"))
    decimal = read_features(write(tmp_path, "features: [{name: x, mean: 1.0, std: 2.0, range: [0.0, 3.0]}]"))
    assert whole.fingerprint() == decimal.fingerprint()


def test_a_grid_declares_its_pixels(tmp_path):
    text = "grid: {height: 2, width: 3, range: [0, 16], mean: [1, 2, 3, 4, 5, 0], std: [1, 1, 1, 1, 1, 0]}"
    inputs = read_features(write(tmp_path, text))
    assert inputs.names == ["pixel_0_0", "pixel_0_1", "pixel_0_2", "pixel_1_0", "pixel_1_1", "pixel_1_2"]
    assert inputs.features[4] == Feature(name="pixel_1_1", mean=5.0, std=1.0, range=[0.0, 16.0])
    assert float(raw(inputs, inputs.draw(100, rng()))[:, 5].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("features: [{name: a, mean: 1}]", ["features[0]", "mean and std are given together"]),
        ("features: [a, {name: b, range: [3, 1]}]", ["features[1]", "low < high", "[3.0, 1.0]"]),
        ("features: [a, {name: b, std: .5, mean: x}]", ["features[1].mean", "valid number", "got 'x'"]),
        ("features: [{name: a, shape: normal}]", ["features[0].shape", "unknown key", "known keys: name, mean"]),
        ("features: [{mean: 1, std: 1}]", ["features[0].name", "required"]),
        ("features: [a, b, a]", ["features[2].name", "'a' is given twice"]),
        ("features: [a, {name: a}]", ["features[1].name", "'a' is given twice"]),
        ("features: [a, [b]]", ["features[1]", "a name or a mapping", "['b']"]),
        ("features: [a, no]", ["features[1]", "a name or a mapping", "False"]),
        ("features: [a, {1: 2}]", ["features[1]", "a key must be a word", "1"]),
        ("features: []", ["features", "at least one feature"]),
        ("features: a", ["features", "list", "'a'"]),
        ("features: [a]\nfeature: [b]", ["feature:", "unknown key", "features"]),
        ("names: [a]", ["names", "unknown key", "features"]),
        ("- a\n- b", ["features, with a list"]),
        ("", ["features, with a list"]),
        ("simplex: [a, b]", ["features or grid"]),
        ("features: [a]\ngrid: {height: 1, width: 1}", ["features or grid"]),
        ("features: [a, b]\nsimplex: [a]", ["simplex", "at least two names"]),
        ("features: [a, b]\nsimplex: [a, a]", ["simplex", "twice"]),
        ("features: [a, b]\nsimplex: [a, c]", ["simplex", "'c'"]),
        ("grid: {height: 2, width: 2, mean: [1, 2], std: [1, 1]}", ["grid", "4 pixels", "2 and 2"]),
        ("grid: {height: 0, width: 2}", ["grid.height", "greater than or equal to 1", "got 0"]),
        ("grid: [1, 2]", ["grid", "mapping", "[1, 2]"]),
        ("grid: {height: 1, width: 1, mean: [1]}", ["grid", "mean and std are given together"]),
    ],
)
def test_features_files_that_say_something_impossible(tmp_path, text, words):
    path = write(tmp_path, text)
    with fails(path, *words):
        read_features(path)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("features: [a, b", ":1:16", ["not valid YAML"]),
        ("features:\n\t- a", ":2:1", ["not valid YAML"]),
        ("features: [a]\nfeatures: [b]", ":2:1", ["not valid YAML", "'features' is given twice"]),
        ("features:\n  - {name: a, std: 1, std: 2}", ":2:23", ["'std' is given twice"]),
        ("? [a]\n: b", ":1:3", ["a key must be a plain word"]),
        ("features: !!python/object/apply:os.getcwd []", ":1:11", ["not valid YAML", "constructor"]),
        ("features: *nowhere", ":1:11", ["not valid YAML", "nowhere"]),
        ("features: !a%0Ab [c]", ":1:11", ["not valid YAML", "constructor"]),
        ("features: !!timestamp soon", "", ["not valid YAML"]),
        ("features: !!int", "", ["not valid YAML"]),
        ("features: 2020-99-99", "", ["not valid YAML", "month"]),
        ("features: \x01", "", ["not valid YAML"]),
        ("[" * 3000, "", ["not valid YAML"]),
    ],
)
def test_files_that_are_not_yaml(tmp_path, text, place, words):
    path = write(tmp_path, text)
    with fails(f"{path}{place}", *words):
        read_features(path)


def test_files_that_cannot_be_read(tmp_path):
    with fails(tmp_path / "none.yaml", "no such file"):
        read_features(tmp_path / "none.yaml")
    with fails(tmp_path, "cannot be read", "directory"):
        read_features(tmp_path)
    path = tmp_path / "features.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with fails(path, "not a text file"):
        read_features(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2e+5", -200000.0),
        ("+1.5e2", 150.0),
        ("1_000e3", 1e6),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+.5e1", 5.0),
        ("1.e-3", 0.001),
        ("0.25", 0.25),
        ("3", 3),
    ],
)
def test_numbers_are_numbers(text, value):
    (found,) = yamls.parse(f"[{text}]", "here", FeaturesError)
    assert type(found) is type(value) and found == value


@pytest.mark.parametrize("text", ["e3", "1e", "1e-3x", "1e3.5", "1-e3", "-", ".", "'1e-3'"])
def test_words_stay_words(text):
    (found,) = yamls.parse(f"[{text}]", "here", FeaturesError)
    assert isinstance(found, str)


def test_what_is_dumped_reads_back():
    tree = {"b": [1, 2.5, 1e-3, True, None], "a": {"name": "température", "value": "1e-3", "no": "no"}}
    assert yamls.parse(yamls.dump(tree), "here", FeaturesError) == tree
    assert list(yamls.parse(yamls.dump(tree), "here", FeaturesError)) == ["b", "a"]
