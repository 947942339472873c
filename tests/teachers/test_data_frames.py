"""Estimators that were fitted on a data frame are asked with one."""

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler
from teacher_files import fails

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.data_frames import asked_by_name, categories, feature_names
from dfkd_tune.teachers.loader import load_teacher

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(18, 90, 200),
        "load": RNG.normal(1000, 200, 200),
        "kind": RNG.choice(["red", "blue", "green"], 200),
        "gear": RNG.integers(1, 4, 200),
    }
)
Y = FRAME["load"] / 200 + FRAME["kind"].map({"red": 0.0, "blue": 2.0, "green": -1.0}) + FRAME["gear"] ** 2
ENCODE = ColumnTransformer(
    [
        ("numbers", StandardScaler(), ["age", "load"]),
        ("kind", OneHotEncoder(), ["kind"]),
        ("gear", OrdinalEncoder(), ["gear"]),
    ]
)
LEVELS = ("red", "blue", "green")


@pytest.fixture
def teacher(tmp_path):
    model = make_pipeline(ENCODE, GradientBoostingRegressor(n_estimators=5, random_state=0)).fit(FRAME, Y)
    skops.io.dump(model, tmp_path / "pipeline.skops")
    return load_teacher(tmp_path / "pipeline.skops")


def rows(names) -> torch.Tensor:
    coded = FRAME.assign(kind=FRAME["kind"].map(LEVELS.index))
    return torch.from_numpy(coded[list(names)].to_numpy(dtype=float))


@pytest.mark.parametrize("names", [("age", "load", "kind", "gear"), ("kind", "gear", "load", "age")])
def test_rows_in_any_order_become_a_frame_with_strings(teacher, names):
    asked = asked_by_name(teacher, names, {names.index("kind"): LEVELS})
    expected = teacher.estimator.predict(FRAME)
    assert np.array_equal(asked(rows(names))[:, 0].numpy(), expected)
    assert np.allclose(asked(rows(names).float())[:, 0].numpy(), expected)


def test_what_it_was_fitted_on_is_told(teacher):
    assert feature_names(teacher) == ["age", "load", "kind", "gear"]
    assert categories(teacher) == {"kind": ["blue", "green", "red"], "gear": [1, 2, 3]}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("age", "load", "kind"), ["lacks gear"]),
        (("age", "load", "kind", "gear", "speed"), ["has speed, which it does not know"]),
        (("years", "load", "kind", "gear"), ["lacks age", "has years"]),
        (("age", "age", "load", "kind", "gear"), ["twice"]),
    ],
)
def test_names_that_differ_are_told_in_one_line(teacher, names, words):
    with fails(teacher.source, "fitted on the columns age, load, kind, gear", *words):
        asked_by_name(teacher, names, {})


def test_a_code_between_levels_is_no_level(teacher):
    names = ("age", "load", "kind", "gear")
    asked = asked_by_name(teacher, names, {2: LEVELS})
    for code in (0.5, 3.0, -1.0, float("nan")):
        x = rows(names)[:2].clone()
        x[1, 2] = code
        with fails(teacher.source, "for kind", "levels 0 to 2"):
            asked(x)


def test_an_estimator_of_bare_rows_is_left_as_it_is(tmp_path):
    path = tmp_path / "ridge.skops"
    x = FRAME[["age", "load"]].to_numpy()
    skops.io.dump(Ridge().fit(x, Y), path)
    teacher = load_teacher(path)
    assert asked_by_name(teacher, ["a", "b"], {}) is teacher and feature_names(teacher) is None
    with fails(path, "takes numbers alone", "b has levels that are strings"):
        asked_by_name(teacher, ["a", "b"], {1: ["x", "y"]})
    encode = ColumnTransformer([("age", OneHotEncoder(), [0])], remainder="passthrough")
    skops.io.dump(make_pipeline(encode, Ridge()).fit(np.round(x / 30), Y), path)
    assert [*categories(load_teacher(path))] == ["0"]


NEEDS = {
    "a word that is misspelled": (
        "levels: [red, blue, gren]",
        {},
        "not fitted on the level 'gren' of kind",
        "among blue",
    ),
    "the word missing": (
        "levels: [red, missing]",
        {},
        "not fitted on the level 'missing' of kind",
        "among blue, green",
    ),
    "the word missing for null": (
        "levels: [red, missing]",
        {"gaps": True},
        "'missing'",
        "write null for a missing value",
    ),
    "a missing value": ("levels: [red, null]", {}, "not fitted on missing values of kind", "without null"),
    "numbers for words": ("levels: [0, 1]", {}, "not fitted on the level 0 of kind", "among blue, green, red"),
    "numbers that are ignored": ("levels: [0, 1]", {"handle_unknown": "ignore"}, "the level 0 of kind", "among blue"),
    "no levels": (
        "mean: 0, std: 1",
        {},
        "fitted on levels of kind, and the features file declares none",
        "levels: [blue, ",
    ),
}


@pytest.mark.parametrize(("declared", "fitted", "rule", "remedy"), NEEDS.values(), ids=NEEDS)
def test_levels_that_an_encoder_does_not_know_are_told_before_it_is_asked(declared, fitted, rule, remedy, tmp_path):
    frame = FRAME[["load", "kind"]].copy()
    if fitted.get("gaps"):
        frame.loc[::7, "kind"] = None
    encoder = OneHotEncoder(**{key: value for key, value in fitted.items() if key != "gaps"})
    model = make_pipeline(make_column_transformer((encoder, ["kind"]), remainder="passthrough"), Ridge())
    skops.io.dump(model.fit(frame, Y), tmp_path / "model.skops")
    features = tmp_path / "features.yaml"
    features.write_text(f"features: [load, {{name: kind, {declared}}}]")
    with fails(tmp_path / "model.skops", rule, remedy):
        with_inputs(load_teacher(tmp_path / "model.skops"), features)


@pytest.mark.parametrize("gear", ["levels: [1, 3]", "integer: true, range: [1, 3]"])
def test_some_of_the_levels_are_enough(gear, tmp_path, teacher):
    features = tmp_path / "features.yaml"
    features.write_text(f"features: [age, load, {{name: kind, levels: [red]}}, {{name: gear, {gear}}}]")
    asked, inputs = with_inputs(teacher, features)
    assert asked(inputs.raw(inputs.draw(9, torch.Generator().manual_seed(0)))).shape == (9, 1)


def test_a_row_is_shown_with_its_words(tmp_path, teacher):
    features = tmp_path / "features.yaml"
    features.write_text("features: [age, load, {name: kind, levels: [red, blue]}, {name: gear, levels: [1, 2]}]")
    asked, _ = with_inputs(teacher, features)
    assert asked.guard.row(torch.tensor([30.0, 1.5, 1, 2])) == "age=30, load=1.5, kind='blue', gear=2"


# --- frames as they are used: dtypes, missing values, transformed targets -----------------------------------------------

USED = pd.DataFrame(
    {
        "load": RNG.normal(1000, 200, 200),
        "kind": RNG.choice(LEVELS, 200),
        "gear": RNG.integers(1, 4, 200),
        "on": RNG.random(200) < 0.5,
        "grade": pd.Categorical(RNG.choice(["low", "high"], 200)),
        "step": pd.Categorical(RNG.integers(0, 3, 200)),
        "count": pd.Series(RNG.integers(0, 3, 200).tolist(), dtype=object),
    }
)
USED.loc[::9, "load"] = np.nan
WORTH = USED["load"].fillna(0) / 300 + USED["kind"].map({"red": 0.0, "blue": 2.0, "green": -1.0}) + USED["gear"] ** 2
DECLARED = """
features:
  - {name: count, levels: [0, 1, 2]}
  - {name: kind, levels: [red, blue, green]}
  - {name: step, levels: [0, 1, 2]}
  - {name: load, levels: [800, 1000, null]}
  - {name: gear, levels: [1, 2, 3]}
  - {name: on, levels: [0, 1]}
  - {name: grade, levels: [low, high]}
""".replace("name: on", "name: 'on'")
WORDS = ["kind", "grade", "on", "step", "count"]


def encoded(*numbers):
    return make_pipeline(make_column_transformer(*numbers, (OneHotEncoder(), WORDS)), Ridge())


PIPELINES = {
    "imputed": lambda: encoded((SimpleImputer(add_indicator=True), ["load", "gear"])),
    "neighbors": lambda: encoded((KNNImputer(), ["load", "gear"])),
    "selected": lambda: encoded(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number"))
    ),
    "target": lambda: TransformedTargetRegressor(
        encoded((SimpleImputer(), ["load", "gear"])), transformer=QuantileTransformer(n_quantiles=20)
    ),
    "function": lambda: TransformedTargetRegressor(
        encoded((SimpleImputer(), ["load"])), func=np.cbrt, inverse_func=np.square, check_inverse=False
    ),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=3),
}


def frame_of(x: torch.Tensor, names) -> pd.DataFrame:
    """Rows as a user has them, with the dtypes of the fit."""
    frame = pd.DataFrame(x.numpy(), columns=names)[[*USED.columns]]
    frame["kind"] = np.array(LEVELS)[frame["kind"].astype(int)]
    frame["grade"] = np.array(["low", "high"])[frame["grade"].astype(int)]
    frame["step"] = frame["step"].astype(int)
    frame["count"] = frame["count"].astype(int).astype(object)
    return frame.astype({name: USED[name].dtype for name in ("gear", "on", "grade", "step")})


@pytest.mark.parametrize("kind", ["skops", "joblib"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_of_frames_answer_as_they_answer_their_owner(name, kind, tmp_path):
    used = USED.drop(columns="count") if name == "histogram" else USED
    used = used.astype({"kind": "category"}) if name == "histogram" else used
    model, path = PIPELINES[name]().fit(used, WORTH), tmp_path / f"model.{kind}"
    (skops.io.dump if kind == "skops" else joblib.dump)(model, path)
    lines = [line for line in DECLARED.splitlines() if name != "histogram" or "count" not in line]
    (tmp_path / "features.yaml").write_text("\n".join(lines))
    teacher, inputs = with_inputs(load_teacher(path, trust_pickle=True), tmp_path / "features.yaml")
    x = inputs.raw(inputs.draw(64, torch.Generator().manual_seed(0)))
    assert x.isnan().any()
    shown = frame_of(x, inputs.names) if name != "histogram" else _categories(x, inputs.names, used)
    np.testing.assert_allclose(teacher(x)[:, 0].numpy(), model.predict(shown))
    assert {"kind", "grade", "step"} <= categories(teacher).keys()


def _categories(x: torch.Tensor, names, used) -> pd.DataFrame:
    frame = pd.DataFrame(x.numpy(), columns=names)[[*used.columns]]
    frame["kind"] = np.array(LEVELS)[frame["kind"].astype(int)]
    frame["grade"] = np.array(["low", "high"])[frame["grade"].astype(int)]
    return frame.astype({"step": int}).astype({name: used[name].dtype for name in used.columns if name != "load"})


@pytest.mark.parametrize(
    "names", [["age", "load", "kind", "gear"], ["kind", "gear", "load", "age"]], ids=["own order", "another"]
)
def test_a_column_that_is_only_named_has_the_levels_of_the_encoder(names, tmp_path):
    skops.io.dump(make_pipeline(ENCODE, Ridge()).fit(FRAME, Y), file := tmp_path / "teacher.skops")
    (tmp_path / "features.yaml").write_text("features:\n" + "".join(f"  - {{name: {name}}}\n" for name in names))
    teacher, inputs = with_inputs(load_teacher(file), tmp_path / "features.yaml")
    assert {*inputs.features[names.index("kind")].levels} == {*LEVELS} and inputs.tier == "T0"
    assert inputs.features[names.index("gear")].levels == [1, 2, 3]
    rows = inputs.raw(inputs.draw(64, torch.Generator().manual_seed(0)))
    assert torch.isfinite(teacher(rows.to(teacher.dtype))).all()


def test_declared_levels_stay_beside_those_of_the_encoder(tmp_path):
    skops.io.dump(make_pipeline(ENCODE, Ridge()).fit(FRAME, Y), file := tmp_path / "teacher.skops")
    (tmp_path / "features.yaml").write_text(
        "features: [age, {name: load, mean: 1000, std: 200}, {name: kind, levels: [red, blue]}, gear]\n"
    )
    _, inputs = with_inputs(load_teacher(file), tmp_path / "features.yaml")
    assert {*inputs.features[2].levels} == {"red", "blue"} and inputs.features[3].levels == [1, 2, 3]
    assert inputs.tier == "T2" and inputs.features[1].mean == 1000


BEHIND = {
    "encoder": lambda: OneHotEncoder(handle_unknown="ignore"),
    "encoder behind an imputer": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ),
}


@pytest.mark.parametrize("absent", [None, np.nan])
@pytest.mark.parametrize("name", BEHIND)
def test_missing_words_are_those_of_the_fit(name, absent, tmp_path):
    words = pd.Series(FRAME["kind"].tolist(), dtype=object)
    words[::5] = absent
    frame = pd.DataFrame({"load": FRAME["load"], "kind": words})
    worth = words.map({"red": 0.0, "blue": 2.0, "green": -1.0}).fillna(9)
    model = make_pipeline(make_column_transformer((BEHIND[name](), ["kind"]), remainder="passthrough"), Ridge())
    skops.io.dump(model.fit(frame, worth), file := tmp_path / "model.skops")
    (tmp_path / "features.yaml").write_text("features: [load, {name: kind, levels: [red, blue, null]}]")
    asked, _ = with_inputs(load_teacher(file), tmp_path / "features.yaml")
    shown = pd.DataFrame({"load": 0.0, "kind": pd.Series(["red", "blue", absent], dtype=object)})
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, torch.nan]], dtype=torch.float64)
    np.testing.assert_allclose(asked(x)[:, 0].numpy(), model.predict(shown))


def test_levels_are_told_behind_an_imputer(tmp_path):
    encode = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(make_column_transformer((encode, ["kind"]), remainder="passthrough"), Ridge())
    skops.io.dump(model.fit(FRAME, Y), file := tmp_path / "model.skops")
    _, inputs = with_inputs(load_teacher(file), None)
    assert inputs.features[2].levels == ["blue", "green", "red"] and inputs.tier == "T0"
