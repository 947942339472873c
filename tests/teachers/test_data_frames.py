"""Estimators that were fitted on a data frame are asked with one."""

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from teacher_files import fails

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
