"""What trees counted at their splits tells how features are distributed and go together, in the units that they take."""

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import spearmanr
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
)
from skops.io import dump
from tree_ensembles import BAGGED, X, Y, fitted, teacher

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_words, meaning
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.prior_inference.trees import infer
from dfkd_tune.search.space.defaults import TEACHER_DEFAULTS
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.stress_rows import stress_policy


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees")
    return teacher(HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(X, Y), folder)


@pytest.fixture(scope="module")
def known(boosted) -> Inputs:
    return with_inputs(boosted, None)[1]


def drawn(inputs: Inputs, rows: int = 20_000) -> np.ndarray:
    return inputs.raw(inputs.draw(rows, torch.Generator().manual_seed(0))).numpy()


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


def test_a_mean_where_no_tree_splits_is_refused(boosted, tmp_path):
    file = tmp_path / "features.yaml"
    file.write_text("features: [a, {name: b, mean: 30000, std: 40}, c, d, e]")
    with pytest.raises(FeaturesError, match=r"feature .b.: mean 30000 lies outside the values .*; check its unit"):
        with_inputs(boosted, file)


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
