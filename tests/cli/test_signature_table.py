"""What ``check`` tells of a teacher that takes named columns, and what such teachers refuse."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, Schema
from processes import inferring
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from teacher_files import fails

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher

FRAME = pd.DataFrame({"load": np.linspace(-2, 2, 60), "kind": ["low", "high", "low"] * 20, "gear": np.arange(60) % 3})
DECLARED = "features: [{name: gear, levels: [0, 1, 2]}, {name: load, missing: 0.1}, {name: kind, levels: [low, high]}]"
COLUMNS = [("load", "double"), ("kind", "string"), ("gear", "long")]


class Model(mlflow.pyfunc.PythonModel):
    """Takes a frame with the dtypes of its signature, and no others."""

    def predict(self, context, model_input, params=None):
        assert model_input["gear"].dtype == np.int64 and model_input["load"].dtype == np.float64
        kind = model_input["kind"].map({"low": 0.0, "high": 3.0})
        return model_input["load"].fillna(5.0) + kind + model_input["gear"] ** 2


def save_columns(folder, columns=COLUMNS):
    inputs = Schema([ColSpec(kind, name) for name, kind in columns])
    mlflow.pyfunc.save_model(folder, python_model=Model(), signature=ModelSignature(inputs=inputs), pip_requirements=[])
    return folder


def save_pipeline(path):
    gap, words = (SimpleImputer(), ["load"]), (OneHotEncoder(), ["kind"])
    model = make_pipeline(make_column_transformer(gap, words, remainder="passthrough"), Ridge())
    skops.io.dump(model.fit(FRAME, FRAME["load"] + FRAME["gear"]), path)
    return path


def shown(dfkd, tmp_path, teacher, *options) -> list[list[str]]:
    """The rows of the table, as words."""
    (tmp_path / "features.yaml").write_text(DECLARED)
    ended = dfkd("check", "--teacher", teacher, "--features", "features.yaml", "--no-estimate", *options)
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[:2] == ["name", "shape"])
    last = next(i for i, line in enumerate(lines) if line.startswith("inputs"))
    return [line.split() for line in lines[first + 1 : last]]


def test_a_pipeline_shows_its_columns_in_its_order(dfkd, tmp_path):
    load, kind, gear, output = shown(dfkd, tmp_path, save_pipeline(tmp_path / "t.skops"))
    assert load == ["column", "load", "(N,)", "float64", "missing", "with", "probability", "0.1"]
    assert kind == ["column", "kind", "(N,)", "string", "one", "of", "low,", "high,", "in", "no", "order"]
    assert gear == ["column", "gear", "(N,)", "float64", "one", "of", "0,", "1,", "2"]
    assert output == ["output", "output", "(N,)", "float64"]


def test_a_model_of_mlflow_shows_the_types_of_its_signature(dfkd, tmp_path):
    load, kind, gear, _ = shown(dfkd, tmp_path, save_columns(tmp_path / "model"), "--trust-pickle")
    assert [each[1:4] for each in (load, kind, gear)] == [
        ["load", "(N,)", "float64"],
        ["kind", "(N,)", "string"],
        ["gear", "(N,)", "int64"],
    ]


def test_an_endpoint_shows_the_columns_of_its_metadata(dfkd, tmp_path):
    told = "features: [{name: kind, levels: [low, high]}, {name: b, range: [0, 9], integer: true}, a]"
    with inferring(tmp_path, "columns") as address:
        (tmp_path / "features.yaml").write_text(told)
        ended = dfkd("check", "--teacher", f"{address}/v2/models/m", "--features", "features.yaml", "--no-estimate")
    table = [line.split() for line in ended.out.splitlines() if line.split()[:1] in (["column"], ["output"])]
    assert [row[1:4] for row in table] == [
        ["a", "(N,)", "float64"],
        ["b", "(N,)", "int64"],
        ["kind", "(N,)", "string"],
        ["output", "(N,", "2)"],
    ]


def test_a_model_of_mlflow_gets_its_columns_with_their_dtypes(tmp_path):
    (tmp_path / "features.yaml").write_text(DECLARED)
    teacher, inputs = with_inputs(
        load_teacher(save_columns(tmp_path / "model"), trust_pickle=True), tmp_path / "features.yaml"
    )
    x = inputs.raw(inputs.draw(60, torch.Generator().manual_seed(0)))
    assert x[:, 1].isnan().any()
    expected = x[:, 1].nan_to_num(5.0) + 3 * x[:, 2] + x[:, 0] ** 2
    torch.testing.assert_close(teacher(x)[:, 0], expected)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("[load, kind, gear]", ["the column kind of string", "which words occur", "{name: kind, levels: [red, blue]}"]),
        (
            "[{name: load, levels: [a, b]}, {name: kind, levels: [low, high]}, gear]",
            ["the column load of float64, which has words"],
        ),
        ("[load, {name: kind, levels: [low, high]}]", ["fitted on the columns load, kind, gear", "lacks gear"]),
    ],
)
def test_columns_that_do_not_fit_are_told(tmp_path, features, words):
    folder = save_columns(tmp_path / "model")
    (tmp_path / "features.yaml").write_text(f"features: {features}")
    with fails(folder, *words):
        with_inputs(load_teacher(folder, trust_pickle=True), tmp_path / "features.yaml")


def test_columns_of_other_types_are_refused(tmp_path):
    folder = save_columns(tmp_path / "model", [*COLUMNS, ("when", "datetime")])
    with fails(folder, "takes the column when of datetime", "numbers and words"):
        load_teacher(folder, trust_pickle=True)
