"""A pipeline that begins with a scaler tells the units of its inputs, and more where the scaler knows more."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler
from skops.io import dump

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_words, meaning
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.stress_rows import BY_KIND, stress_policy

RNG = np.random.default_rng(0)
X = np.stack([RNG.normal(300, 40, 5_000), RNG.lognormal(0, 1, 5_000), RNG.uniform(-0.01, 0.03, 5_000)], axis=1)
SCALERS = {
    "standard": StandardScaler,
    "range": MinMaxScaler,
    "robust": RobustScaler,
    "robust, unit variance": lambda: RobustScaler(unit_variance=True, quantile_range=(10, 90)),
    "quantiles": lambda: QuantileTransformer(n_quantiles=200),
}
WITHOUT = {"no scaler": lambda: PCA(3), "no center": lambda: RobustScaler(with_centering=False)}


def teacher(folder, *steps):
    dump(make_pipeline(*steps, LinearRegression()).fit(X, X @ [0.1, 1.0, 9.0]), folder / "teacher.skops")
    return load_teacher(folder / "teacher.skops")


def drawn(inputs: Inputs) -> np.ndarray:
    return inputs.raw(inputs.draw(20_000, torch.Generator().manual_seed(0))).numpy()


@pytest.mark.parametrize("name", SCALERS)
def test_units_are_told(name, tmp_path):
    told = with_inputs(teacher(tmp_path, SCALERS[name]()), None)[1]
    assert told.tier == "T0"
    z = drawn(told)
    assert z[:, 0].mean() == pytest.approx(300, abs=80)
    assert 20 < z[:, 0].std() < 100
    assert np.abs(z[:, 2]).max() < 0.15


def test_a_quantile_transformer_tells_the_whole_distribution(tmp_path):
    told = with_inputs(teacher(tmp_path, QuantileTransformer(n_quantiles=200)), None)[1]
    z = drawn(told)
    for p in (0.05, 0.5, 0.95):
        assert np.quantile(z, p, axis=0) == pytest.approx(np.quantile(X, p, axis=0), rel=0.1)
    assert not told.shapeless.any()


def test_moments_leave_the_shape_open(tmp_path):
    answers = teacher(tmp_path, StandardScaler())
    told = with_inputs(answers, None)[1]
    assert told.shapeless.all()
    found = probe(answers, told)
    assert stress_policy(found, told) is BY_KIND[found.kind]
    assert meaning(told).endswith("what else it says of each by itself")
    assert in_words(told)[0]["declared"] == "nothing"


def test_a_step_that_does_nothing_is_passed_over(tmp_path):
    told = with_inputs(teacher(tmp_path, "passthrough", StandardScaler()), None)[1]
    assert told.center.numpy() == pytest.approx(X.mean(0))
    assert told.scale.numpy() == pytest.approx(X.std(0))


def test_what_is_declared_stays(tmp_path):
    file = tmp_path / "features.yaml"
    file.write_text("features: [a, {name: b, mean: 7, std: 2}, c]")
    told = with_inputs(teacher(tmp_path, StandardScaler()), file)[1]
    assert (float(told.center[1]), float(told.scale[1])) == (7, 2)
    assert float(told.center[0]) == pytest.approx(X[:, 0].mean())
    assert told.tier == "T2"


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler, QuantileTransformer])
def test_a_column_that_was_constant_stays_so(scaler, tmp_path):
    rows = X.copy()
    rows[:, 1] = 1_000.25
    dump(make_pipeline(scaler(), LinearRegression()).fit(rows, rows[:, 0]), tmp_path / "teacher.skops")
    told = with_inputs(load_teacher(tmp_path / "teacher.skops"), None)[1]
    assert drawn(told)[:, 1] == pytest.approx(1_000.25, rel=1e-6)
    assert drawn(told)[:, 0].std() > 20


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_not_told_is_not_made_up(name, tmp_path):
    assert with_inputs(teacher(tmp_path, WITHOUT[name]()), None)[1].inferred is None


def test_scalers_of_columns_tell_beside_declarations(tmp_path):
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    parts = make_column_transformer((numbers, ["c", "a"]), (MinMaxScaler(), ["b"]), remainder="passthrough")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(on=RNG.random(len(X)) < 0.5)
    frame.loc[::9, "a"] = np.nan
    model = TransformedTargetRegressor(make_pipeline(parts, LinearRegression())).fit(frame, X @ [0.1, 1.0, 9.0])
    dump(model, tmp_path / "teacher.skops")
    (tmp_path / "features.yaml").write_text("features: [a, b, {name: c, range: [0, 1]}, {name: 'on', levels: [0, 1]}]")
    told = with_inputs(load_teacher(tmp_path / "teacher.skops"), tmp_path / "features.yaml")[1]
    a, b, c, on = told.features
    assert a.mean == pytest.approx(frame["a"].mean()) and 30 < a.std < 45
    assert b.range == pytest.approx([X[:, 1].min(), X[:, 1].max()])
    assert c.range == [0, 1] and c.mean is None and on.levels == [0, 1]
    assert told.tier == "T2"
