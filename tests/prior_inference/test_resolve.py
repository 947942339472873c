"""What a teacher's encoder tells of its inputs joins what the features file says of them."""

import numpy as np
import pytest
from asked import fails
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops.io import dump

from dfkd_tune.errors import TeacherError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher

STEPS = 3


@pytest.fixture(scope="module")
def encoding(tmp_path_factory):
    """An estimator of windows of three steps and two channels, the second one a valve; a step has a level of its own."""
    rng = np.random.default_rng(0)
    x = np.stack([column for _ in range(STEPS) for column in (rng.normal(size=300), rng.choice([7.0, 2.0], 300))], 1)
    x[:150, 5] += 1
    encoder = ColumnTransformer([("valves", OneHotEncoder(), [1, 3, 5])], remainder="passthrough")
    file = tmp_path_factory.mktemp("encoding") / "teacher.skops"
    dump(make_pipeline(encoder, LinearRegression()).fit(x, x[:, 0] * 2 + x[:, 1]), file)
    return load_teacher(file)


def told(folder, encoding, channels: str):
    file = folder / "features.yaml"
    file.write_text(f"window: {{steps: {STEPS}, channels: [{channels}]}}")
    return with_inputs(encoding, file)[1]


def test_levels_of_an_encoder_leave_a_window_a_window(tmp_path, encoding):
    inputs = told(tmp_path, encoding, "{name: temp, mean: 1, std: 2}, valve")
    assert [axes.kind for axes in inputs.axes] == ["window"]
    assert [f.levels for f in inputs.features[1::2]] == [[2.0, 7.0], [2.0, 7.0], [2.0, 3.0, 7.0, 8.0]]
    # Steps that have one declaration are told once; the valve's differ.
    assert [name for name, _ in inputs.declarations] == ["temp[0] to temp[2]", "valve[0]", "valve[1]", "valve[2]"]


def test_a_number_that_may_be_missing_is_no_level_of_an_encoder(tmp_path, encoding):
    with fails("teacher.skops", "levels of valve[0]", "declare them", kind=TeacherError):
        told(tmp_path, encoding, "temp, {name: valve, missing: 0.1}")
