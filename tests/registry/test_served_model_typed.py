"""A model whose signature declares columns: what MLflow takes, refuses and changes before the model gets it."""

import json
import shutil
from decimal import Decimal

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from served_models import ROWS, TYPED, answers_of

RECORD = {"load": 1.5, "count": 3, "valve": 1, "grade": "01", "gate": 2.5, "flow": None, "flag": True}
ANSWER = [1.5, 3.0, 1.0, 1.0, 2.5, -7.0, 1.0]
"""Of the record, by a model that answers its inputs, -7 for a missing one."""


def through(model, body: str, kind: str = "application/json") -> list[list[float]]:
    """Answers by the handler of ``mlflow models serve``."""
    answer = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
    assert answer.status == 200
    return [list(row.values()) for row in json.loads(answer.response)["predictions"]]


def frame(**columns) -> pd.DataFrame:
    """The record as a data frame with some other columns."""
    base = pd.DataFrame([RECORD | {"flow": np.nan}])
    return base.assign(**{name: value for name, value in columns.items() if value is not None}).drop(
        columns=[name for name, value in columns.items() if value is None]
    )


def csv(**values) -> str:
    cells = {name: "" if value is None else str(value) for name, value in (RECORD | values).items()}
    return f"id,{','.join(cells)}\n7,{','.join(cells.values())}\n"


BODIES = {
    "dataframe_split": {"columns": ["id", *RECORD], "data": [[7, *RECORD.values()]]},
    "dataframe_records": [RECORD | {"id": 7}],
    "instances": [RECORD | {"id": 7}],
    "inputs": {name: [RECORD[name]] for name in reversed(RECORD)},
}


@pytest.mark.parametrize("key", BODIES)
def test_requests_in_json(typed, key):
    assert through(typed, json.dumps({key: BODIES[key]})) == [ANSWER]


@pytest.mark.parametrize(
    "more", [{}, {"load": 2}, {"count": "3.0"}, {"valve": "True"}, {"flag": 1}, {"grade": None}], ids=str
)
def test_requests_in_csv(typed, more):
    own = {"load": 2.0} if "load" in more else {"grade": -7.0} if "grade" in more else {}
    assert through(typed, csv(**more), "text/csv") == [[*(dict(zip(RECORD, ANSWER, strict=True)) | own).values()]]


TAKEN = {
    "double: float32": {"load": np.float32(7)},
    "double: int32": {"load": np.int32(7)},
    "double: int64 of 0 and 1": {"load": 1},
    "double: Float64": {"load": pd.array([7.0], "Float64")},
    "double: decimal": {"load": Decimal(7)},
    "long: int32": {"count": np.int32(7)},
    "long: uint8": {"count": np.uint8(7)},
    "long: Int64": {"count": pd.array([7], "Int64")},
    "string: object": {"grade": pd.Series(["low"], dtype=object)},
    "string: string": {"grade": pd.array(["low"], "string")},
    "boolean: boolean": {"flag": pd.array([True], "boolean")},
    "optional: absent": {"flow": None},
}
REFUSED = {
    "double: int64": ({"load": 7}, "float64"),
    "double: Int64": ({"load": pd.array([7], "Int64")}, "float64"),
    "double: bool": ({"load": True}, "float64"),
    "double: words": ({"load": "7"}, "float64"),
    "long: float64": ({"count": 3.0}, "int64"),
    "long: bool": ({"count": True}, "int64"),
    "long: decimal": ({"count": Decimal(3)}, "int64"),
    "long: uint64": ({"count": np.uint64(3)}, "int64"),
    "string: category": ({"grade": pd.Categorical(["low"])}, object),
    "string: int64": ({"grade": 1}, object),
    "boolean: int64": ({"flag": 1}, "bool"),
}
"""What MLflow refuses in a data frame -> its column, and the dtype that it takes."""


@pytest.mark.parametrize("given", TAKEN)
def test_frames_that_mlflow_takes(typed, given):
    assert np.isfinite(typed.predict(frame(**TAKEN[given])).to_numpy()).all()


@pytest.mark.parametrize("given", REFUSED)
def test_frames_that_mlflow_refuses_are_taken_after_astype(typed, given):
    column, dtype = REFUSED[given]
    with pytest.raises(MlflowException, match="Failed to enforce schema"):
        typed.predict(frame(**column))
    if given != "string: int64":  # 1 is no level
        (name,) = column
        assert np.isfinite(typed.predict(frame(**column).astype({name: dtype})).to_numpy()).all()


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ({"count": 3.7}, {"count": 3.0}),
        ({"flag": "false"}, {"flag": 1.0}),
        ({"flag": None}, {"flag": 0.0}),
        ({"flwo": 9.0}, {"flow": -7.0}),
    ],
    ids=str,
)
def test_what_mlflow_changes_without_a_word(typed, given, got):
    """The guide warns of it. Should a release refuse it, the warning can go."""
    body = json.dumps({"dataframe_records": [RECORD | given]})
    assert through(typed, body) == [[*(dict(zip(RECORD, ANSWER, strict=True)) | got).values()]]


def test_what_misses_a_value_that_is_required_is_refused(typed):
    for body, kind in (
        (json.dumps({"dataframe_records": [RECORD | {"count": None}]}), "application/json"),
        (csv(count=None), "text/csv"),
        (csv(count="3.7"), "text/csv"),
        (csv(flag=None), "text/csv"),
    ):
        with pytest.raises(MlflowException, match=r"Failed to|int\(\)"):
            through(typed, body, kind)
    with pytest.raises(MlflowException, match=r"missing inputs \['load'\]"):
        typed.predict(frame(load=None))
    with pytest.raises(MlflowException, match="column 'grade': holds 'medium', which is no level"):
        typed.predict(frame(grade="medium"))


def test_features_without_names_are_taken_as_arrays_and_by_the_names_that_are_shown(typed_plain):
    names, whole = ["x0", "x1", "x2"], pd.DataFrame(ROWS, columns=["x0", "x1", "x2"])
    expected = pytest.approx(answers_of(ROWS), rel=1e-5)
    for given in (ROWS, ROWS.astype("float32"), ROWS.tolist(), whole, whole[["x1", "x2", "x0"]], pd.DataFrame(ROWS)):
        assert typed_plain.predict(given).to_numpy() == expected
    for body in (
        {"instances": ROWS.tolist()},
        {"inputs": ROWS.tolist()},
        {"dataframe_split": {"data": ROWS.tolist()}},
        {"dataframe_split": {"columns": names, "data": ROWS.tolist()}},
        {"dataframe_records": whole.to_dict("records")},
    ):
        assert np.array(through(typed_plain, json.dumps(body))) == expected
    assert np.array(through(typed_plain, whole[["x2", "x0", "x1"]].to_csv(index=False), "text/csv")) == expected
    with pytest.raises(MlflowException, match="Failed to enforce schema"):
        typed_plain.predict(ROWS.astype("int64"))


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        ([TensorSpec(np.dtype("float64"), (-1, 3))], "another order"),
        ([ColSpec("double", f"x{i}") for i in range(3)], "an array"),
    ],
    ids=["tensor", "columns with names"],
)
def test_why_features_without_names_are_columns_without_names(models, tmp_path, inputs, wrong):
    """A tensor takes columns by place, whatever their names; columns with names take no array."""
    shutil.copytree(models / "plain", tmp_path / "model")
    about = Model.load(str(tmp_path / "model"))
    about.signature = ModelSignature(inputs=Schema(inputs), outputs=about.signature.outputs)
    about.save(str(tmp_path / "model" / "MLmodel"))
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    if wrong == "an array":
        with pytest.raises(MlflowException, match="missing inputs"):
            model.predict(ROWS)
    else:
        given = pd.DataFrame(ROWS, columns=["x0", "x1", "x2"])[["x1", "x0", "x2"]]
        assert np.abs(np.asarray(model.predict(given)) - answers_of(ROWS)).max() > 1e-3


def test_words_that_are_true_and_false_are_strings(models, tmp_path):
    """As ``boolean``, the word ``false`` in JSON would be true."""
    shutil.copytree(models / "typed", tmp_path / "model")
    about = Model.load(str(tmp_path / "model"))
    declared = [ColSpec("boolean", "grade") if each.name == "grade" else each for each in about.signature.inputs]
    about.signature = ModelSignature(inputs=Schema(declared), outputs=about.signature.outputs)
    about.metadata["levels"]["grade"] = ["false", "true"]
    about.save(str(tmp_path / "model" / "MLmodel"))
    body = json.dumps({"dataframe_records": [RECORD | {"grade": "false"}]})
    assert through(mlflow.pyfunc.load_model(str(tmp_path / "model")), body)[0][3] == 1.0
    assert (
        next(each.type for each in Model.load(str(models / "typed")).signature.inputs if each.name == "grade")
        == DataType.string
    )
    assert TYPED["levels"]["grade"][2] == "true"
