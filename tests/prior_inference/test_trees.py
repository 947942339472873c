"""What trees counted at their splits tells how features are distributed and go together, in the units that they take."""

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import rankdata, spearmanr
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from skops.io import dump

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_words, meaning
from dfkd_tune.prior_inference.marginals import margin, quantiles
from dfkd_tune.prior_inference.resolve import ENCODED, with_inputs
from dfkd_tune.prior_inference.tree_splits import splits_of
from dfkd_tune.prior_inference.trees import infer
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.stress_rows import stress_policy

UNITS = np.array([1.0, 40.0, 0.01, 1.0, 1.0]), np.array([0.0, 300.0, 0.0, 5.0, -1.0])
"""Scale and shift of each feature."""


def table(rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """The first two features go together, the third runs against them and is lognormal, the fourth is uniform, the last a rare switch."""
    rng = np.random.default_rng(0)
    s = rng.standard_normal((rows, 5))
    common = s[:, 0]
    x = np.stack(
        [
            common,
            0.8 * common + 0.6 * s[:, 1],
            np.exp(-0.6 * common + 0.8 * s[:, 2]),
            rng.uniform(-1, 1, rows),
            (s[:, 4] > 1.3).astype(float),
        ],
        axis=1,
    )
    y = np.sin(2 * x[:, 0]) + x[:, 1] * np.tanh(x[:, 2]) + x[:, 3] ** 2 + x[:, 4] * x[:, 0]
    return x * UNITS[0] + UNITS[1], y


X, Y = table()
SMALL = {"max_leaf_nodes": 30, "random_state": 0}
ENSEMBLES = {
    "tree": lambda: DecisionTreeRegressor(**SMALL),
    "boosted": lambda: GradientBoostingRegressor(n_estimators=20, max_depth=4, random_state=0),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "voting": lambda: VotingRegressor([("tree", DecisionTreeRegressor(**SMALL)), ("line", LinearRegression())]),
    "target": lambda: TransformedTargetRegressor(DecisionTreeRegressor(**SMALL), transformer=StandardScaler()),
    "scaled": lambda: make_pipeline(StandardScaler(), MinMaxScaler(), DecisionTreeRegressor(**SMALL)),
    "outputs": lambda: MultiOutputRegressor(DecisionTreeRegressor(**SMALL)),
}
"""Of estimators each of whose trees saw every row once."""
BAGGED = {
    "forest": lambda: RandomForestRegressor(n_estimators=20, min_samples_leaf=5, random_state=0),
    "extra": lambda: ExtraTreesRegressor(n_estimators=20, min_samples_leaf=5, bootstrap=True, random_state=0),
    "bag": lambda: BaggingRegressor(DecisionTreeRegressor(min_samples_leaf=5), n_estimators=10, random_state=0),
}
WITHOUT = {
    "line": LinearRegression,
    "turned": lambda: make_pipeline(PCA(5), DecisionTreeRegressor(**SMALL)),
    "some features": lambda: BaggingRegressor(DecisionTreeRegressor(), n_estimators=3, max_features=3),
    "categories": lambda: HistGradientBoostingRegressor(max_iter=3, categorical_features=[4]),
}


def fitted(make):
    estimator = make()
    return estimator.fit(X, np.stack([Y, -Y], axis=1) if isinstance(estimator, MultiOutputRegressor) else Y)


def teacher(estimator, folder):
    dump(estimator, folder / "teacher.skops")
    return load_teacher(folder / "teacher.skops", trust_pickle=True)


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees")
    return teacher(HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(X, Y), folder)


@pytest.fixture(scope="module")
def known(boosted) -> Inputs:
    return with_inputs(boosted, None)[1]


def drawn(inputs: Inputs, rows: int = 20_000) -> np.ndarray:
    return inputs.raw(inputs.draw(rows, torch.Generator().manual_seed(0))).numpy()


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


def test_features_are_distributed_as_they_were(known):
    z = drawn(known)
    for d in range(4):
        for p in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert (z[:, d] <= np.quantile(X[:, d], p)).mean() == pytest.approx(p, abs=0.1), (d, p)
    assert (z[:, 4] <= -0.5).mean() == pytest.approx((X[:, 4] <= -0.5).mean(), abs=0.05)


def test_features_go_together_as_they_did(known, tmp_path):
    forest = with_inputs(teacher(fitted(BAGGED["forest"]), tmp_path), None)[1]
    real = spearmanr(X[:, :4]).statistic
    for inputs in (known, forest):
        found = spearmanr(drawn(inputs)[:, :4]).statistic
        assert np.allclose(found, real, atol=0.25)
        assert np.abs(found[:3, :3]).min() > 0.25
        assert np.abs(found[3, :3]).max() < 0.1


def test_a_heavy_tail_reaches_far_and_a_light_one_does_not(known):
    seen = known.features[2].quantiles, known.features[3].quantiles
    heavy, light = (max(told.values()) for told in seen)
    last = [sorted(told.values())[-3] for told in seen]  # the outermost threshold
    assert heavy > 2 * last[0]
    assert X[:, 3].max() < light < X[:, 3].max() + 0.5


def test_what_is_declared_comes_first_and_units_are_kept(boosted, tmp_path, known):
    file = tmp_path / "features.yaml"
    file.write_text("features: [a, b, c, {name: d, range: [4, 6]}, e]")
    assert with_inputs(boosted, file)[1].inferred is None
    file.write_text("features: [a, {name: b, mean: 300, std: 40}, c, d, e]")
    raw = with_inputs(boosted, file)[1]
    assert raw.tier == "T2"
    assert (raw.center[1], raw.scale[1]) == (300, 40)
    assert raw.names == ["a", "b", "c", "d", "e"]
    assert np.allclose(drawn(raw), drawn(known))


def test_it_is_told_apart_from_what_is_declared(known, boosted):
    unknown = Inputs.unknown(5)
    assert known.tier == "T0"
    assert known.fingerprint() == with_inputs(boosted, None)[1].fingerprint() != unknown.fingerprint()
    assert meaning(known).startswith("nothing is declared of the inputs; how each feature is distributed")
    said = in_words(known)
    assert said[:-1] == in_words(unknown)
    assert said[-1]["declared"].endswith("what the teacher's trees counted at their splits")


def test_nothing_stands_for_tails_that_are_told(known, boosted):
    assert stress_policy(probe(boosted, known), known).rows is None
    assert TEACHER_DEFAULTS["black box"].searched(known)["generator.kind"] == ["gaussian"]


def test_one_stump_is_enough():
    stump = DecisionTreeRegressor(max_depth=1).fit(X[:, 1:2], X[:, 1] > 320)
    (split,) = splits_of(stump)
    told = quantiles(margin([split]), scale=40.0)
    assert sorted(told) == list(told) and sorted(told.values()) == list(told.values())
    assert list(told)[2] == pytest.approx(split.below / split.rows)
    assert list(told.values())[2] == pytest.approx(split.threshold)
    assert max(told.values()) - min(told.values()) == pytest.approx(4 * 40)


def test_likelier_probabilities_are_found_where_a_split_sees_a_part_of_the_rows():
    tree = DecisionTreeRegressor(max_leaf_nodes=40).fit(X[:, :1], rankdata(X[:, 0]))
    found = margin(splits_of(tree))
    assert np.allclose(found.below, [(X[:, 0] <= t).mean() for t in found.thresholds], atol=1e-3)


def test_features_without_a_split_and_splits_without_a_threshold_say_nothing(tmp_path):
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    gaps[:, 3] = 0.0
    made = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(gaps, np.isnan(gaps[:, 1]) + Y)
    told = with_inputs(teacher(made, tmp_path), None)[1]
    assert told.features[3].quantiles is None
    assert np.isfinite(drawn(told)).all()
    assert told.features[0].quantiles


def test_of_many_features_only_the_margins_are_told(monkeypatch, boosted):
    monkeypatch.setattr("dfkd_tune.prior_inference.trees.WIDEST", 4)
    told = infer(boosted, Inputs.unknown(5))
    assert told.dependence is None
    assert all(feature.quantiles for feature in told.features)


def test_it_is_the_same_on_any_number_of_threads(boosted):
    threads = torch.get_num_threads()
    first = infer(boosted, Inputs.unknown(5))
    torch.set_num_threads(threads + 1)
    try:
        assert infer(boosted, Inputs.unknown(5)).dependence == first.dependence
    finally:
        torch.set_num_threads(threads)


def test_a_check_says_where_it_comes_from(dfkd, boosted, tmp_path):
    dump(boosted.estimator, tmp_path / "trees.skops")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": {"name": "pump"}, "teacher": "trees.skops"}))
    checked = dfkd("check", "study.yaml", "--no-estimate", "--trust-pickle")
    assert checked.status == 0, checked.err
    assert "found from what the teacher's trees counted at their splits" in " ".join(checked.out.split())
