"""What a registered model answers: tables of any numeric kind, levels that are strings, missing values; in Python and over HTTP."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc import scoring_server
from processes import free_port, serving
from torch import nn

from dfkd_tune.registry import model_files as files

NAMES = ["load", "valve", "count"]
ROWS = np.array([[1050.0, 1.0, 3.0], [900.0, 0.0, 7.0], [1210.0, 1.0, 0.0]])
PLAIN = {"outputs": 2, "dtype": "float32", "levels": {}, "gapped": [], "example": ROWS.tolist()}
MIXED = {
    "features": ["load", "grade", "gate", "rank"],
    "outputs": 4,
    "dtype": "float64",
    "gapped": [],
    "levels": {"grade": ["low", "high", None, "01", "true"], "gate": [1, 2.5, 7, None], "rank": [1, 2, "other"]},
    "example": [[1.5, 0.0, 1.0, 2.0], [2.5, float("nan"), float("nan"), 1.0]],
}
FAR = 1_700_000_000.125
"""What float32 rounds to a multiple of 128."""


class Echo(nn.Module):
    """Answers its inputs, -7 where they are missing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.nan_to_num(nan=-7.0) * 1.0


def network(features: int = 3, outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, outputs)).eval()


def answers_of(rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network()(torch.from_numpy(rows).float()).numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models in folders: ``named``, ``plain`` without names, ``mixed`` with levels and missing values."""
    made = tmp_path_factory.mktemp("models")
    files.save(made / "named", network(), PLAIN | {"features": NAMES}, Model())
    files.save(made / "plain", network(), PLAIN | {"features": ["x0", "x1", "x2"]}, Model())
    files.save(made / "mixed", Echo(), MIXED, Model())
    return made


@pytest.fixture(scope="module")
def named(folder):
    return mlflow.pyfunc.load_model(str(folder / "named"))


@pytest.fixture(scope="module")
def plain(folder):
    return mlflow.pyfunc.load_model(str(folder / "plain"))


@pytest.fixture(scope="module")
def mixed(folder):
    return mlflow.pyfunc.load_model(str(folder / "mixed"))


def refuses(model, given, *words: str) -> None:
    with pytest.raises(MlflowException) as refused:
        model.predict(given)
    assert refused.value.get_http_status_code() == 400
    assert all(word in refused.value.message for word in words), refused.value.message
    assert len(refused.value.message.splitlines()) == 1


# --- numbers ----------------------------------------------------------------------------------------------------------


TEACHER_DEFAULTS = {
    "float64": "float64",
    "float32": "float32",
    "int64": "int64",
    "int32": "int32",
    "uint16": "uint16",
    "Int64": "Int64",
    "UInt16": "UInt16",
    "Float64": "Float64",
    "Float32": "Float32",
    "object": object,
    "arrow": pd.ArrowDtype(pa.int64()),
    "arrow decimal": pd.ArrowDtype(pa.decimal128(24, 2)),
    "category": "category",
    "sparse": pd.SparseDtype(np.float64),
}


@pytest.mark.parametrize("kind", TEACHER_DEFAULTS.values(), ids=TEACHER_DEFAULTS)
def test_columns_of_any_kind_of_number(named, kind):
    frame = pd.DataFrame(ROWS.astype(int), columns=NAMES, index=[7, 5, 9]).astype(kind)
    answers = named.predict(frame)
    np.testing.assert_allclose(answers, answers_of(ROWS), rtol=1e-6)
    assert answers.index.tolist() == [7, 5, 9]
    one = frame.astype({"valve": bool})[NAMES[::-1]].assign(id=["a", "b", "c"])
    np.testing.assert_allclose(named.predict(one.iloc[1:]), answers_of(ROWS[1:]), rtol=1e-6)


def test_columns_of_python_numbers(named):
    for kind in (int, float, Decimal, np.float32, np.int8, bool):
        rows = ROWS.clip(0, 1)
        frame = pd.DataFrame({n: [kind(v) for v in rows[:, i]] for i, n in enumerate(NAMES)}, dtype=object)
        np.testing.assert_allclose(named.predict(frame), answers_of(rows), rtol=1e-6)
    for kind in (bool, "boolean"):
        np.testing.assert_allclose(named.predict(pd.DataFrame(rows, columns=NAMES).astype(kind)), answers_of(rows))


def test_tables_of_other_shapes_and_libraries(named):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    for given in (frame.to_dict("list"), frame.to_dict("records"), pa.Table.from_pandas(frame)):
        np.testing.assert_allclose(named.predict(given), answers_of(ROWS), rtol=1e-6)
    np.testing.assert_allclose(named.predict(frame.to_dict("records")[0]), answers_of(ROWS[:1]), rtol=1e-6)
    assert named.predict(frame[:0]).shape == (0, 2)
    spaced = frame.rename(columns={"valve": " valve "})
    np.testing.assert_allclose(named.predict(spaced), answers_of(ROWS), rtol=1e-6)


def test_a_column_is_found_by_its_exact_name_first(folder):
    files.save(folder / "years", network(), PLAIN | {"features": ["2019", "2020", "2019 "]}, Model())
    model = mlflow.pyfunc.load_model(str(folder / "years"))
    for labels in ([2019, 2020, "2019 "], ["2019", 2020, "2019 "]):
        frame = pd.DataFrame(ROWS, columns=labels)
        np.testing.assert_allclose(model.predict(frame[labels[::-1]]), answers_of(ROWS), rtol=1e-6)


def test_what_cannot_be_answered_is_told_by_column(named):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    refuses(named, frame.drop(columns=["valve", "load"]), "columns 'load', 'valve': missing", "got 'count'")
    refuses(named, frame.assign(load=["1", "2", "3"]), "column 'load': holds text, '1'; give numbers")
    refuses(named, frame.assign(load=pd.Categorical(["1", "2", "3"])), "column 'load': holds text")
    refuses(named, frame.assign(count=pd.array([1, None, None], dtype="Int64")), "'count': 2 values missing", "row 1")
    refuses(named, frame.assign(count=[None, Decimal(1), 2]), "column 'count': 1 value missing", "row 0")
    refuses(named, frame.assign(load=np.nan, valve=np.nan), "columns 'load', 'valve': 6 values missing")
    refuses(named, frame.assign(load=[np.inf, 1, 2]), "column 'load': 1 value infinite")
    refuses(named, frame.assign(load=[1, 1e39, 10**400]), "column 'load': 2 values infinite in float32")
    refuses(named, frame.assign(load=pd.Timestamp("2024-01-01")), "column 'load'", "Timestamp")
    refuses(named, frame.assign(load=pd.Timedelta(1)), "column 'load'", "Timedelta")
    refuses(named, frame.assign(load=1j), "column 'load'", "complex")
    refuses(named, pd.concat([frame, frame[["load"]]], axis=1), "column 'load': is there more than once")
    refuses(named, ROWS, "'load', 'valve', 'count'", "got 0, 1, 2")  # which column is which was not said
    refuses(named, {"load": [1, 2], "valve": [1], "count": [1]}, "is no table")
    refuses(named, 5, "is no table")


def test_features_without_names_take_arrays_and_tables(plain):
    frame = pd.DataFrame(ROWS, columns=["x0", "x1", "x2"])
    for given in (
        ROWS,
        ROWS.astype(int),
        ROWS.astype(np.float32),
        ROWS.tolist(),
        torch.from_numpy(ROWS),
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS.astype(int), columns=["a", "b", "c"]),
        frame[["x2", "x0", "x1"]].assign(id=1),
    ):
        answers = plain.predict(given)
        assert isinstance(answers, pd.DataFrame if isinstance(given, pd.DataFrame) else np.ndarray)
        np.testing.assert_allclose(answers, answers_of(ROWS), rtol=1e-6)
    np.testing.assert_allclose(plain.predict(ROWS > 0), answers_of((ROWS > 0).astype(float)), rtol=1e-6)
    refuses(plain, ROWS[:, :2], "2 columns", "takes 3")
    refuses(plain, np.hstack([ROWS, ROWS]), "6 columns", "takes 3")
    refuses(plain, frame.rename(columns={"x1": "y"}), "column 'x1': missing")
    refuses(plain, ROWS[None], "is no table")
    refuses(plain, ROWS[0], "1 columns")


# --- levels, missing values, precision --------------------------------------------------------------------------------


def asked(model, **columns) -> np.ndarray:
    """Answers to two rows with these columns."""
    frame = {"load": [1, 2], "grade": ["low", "low"], "gate": [1, 1], "rank": [1, 1]} | columns
    return np.asarray(model.predict(pd.DataFrame(frame)))


def test_strings_are_their_place_among_the_levels(mixed):
    for grades in (["high", "low"], np.array(["high", "low"]), pd.Categorical(["high", "low"])):
        assert asked(mixed, grade=grades)[:, 1].tolist() == [1, 0]
    assert asked(mixed, grade=pd.Series(["high", None], dtype="string"))[:, 1].tolist() == [1, -7]
    assert asked(mixed, rank=["other", 2])[:, 3].tolist() == [2, 1]
    assert asked(mixed, rank=["other", "2"])[:, 3].tolist() == [2, 1]
    assert asked(mixed, grade=[1, None])[:, 1].tolist() == [3, -7]  # what pd.read_csv makes of 01
    assert asked(mixed, grade=[True, True])[:, 1].tolist() == [4, 4]  # and of true
    frame = pd.DataFrame({"load": [1], "grade": ["medium"], "gate": [1], "rank": [1]})
    refuses(mixed, frame, "column 'grade': holds 'medium', which is no level; known: 'low', 'high'")
    refuses(mixed, frame.assign(grade=["1"]), "column 'grade'", "'1'")
    refuses(mixed, frame.assign(grade=[["low"]]), "column 'grade'", "known: 'low'")
    refuses(mixed, frame.assign(grade="low", rank=[3]), "column 'rank': holds '3'", "known: 1, 2, 'other'")


def test_levels_that_are_numbers_are_met_exactly(mixed):
    assert asked(mixed, gate=np.array([2.5, 7], np.float32))[:, 2].tolist() == [2.5, 7]
    assert asked(mixed, gate=[7 - 1e-7, 1 + 1e-8])[:, 2].tolist() == [7, 1]
    frame = pd.DataFrame({"load": [1], "grade": ["low"], "gate": [2], "rank": [1]})
    refuses(mixed, frame, "column 'gate': holds '2.0', which is no level; known: 1.0, 2.5, 7.0")
    refuses(mixed, frame.assign(gate=["1"]), "column 'gate': holds text")


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA, pd.NaT, Decimal("NaN")], ids=str)
def test_values_are_missing_where_that_is_declared(mixed, absent):
    assert asked(mixed, grade=["low", absent], gate=[absent, 7])[:, 1:3].tolist() == [[0, -7], [-7, 7]]
    frame = pd.DataFrame({"load": [absent], "grade": ["low"], "rank": [absent]})
    refuses(mixed, frame, "columns 'load', 'rank': 2 values missing")
    whole = mixed.predict(pd.DataFrame({"load": [1], "rank": [1]}))  # a request may leave out what may be missing
    assert np.asarray(whole).tolist() == [[1, -7, -7, 0]]


def test_an_optional_column_that_may_be_misspelled_is_told(mixed):
    refuses(
        mixed,
        pd.DataFrame({"load": [1], "grad": ["low"], "gate": [1], "rank": [1]}),
        "column 'grade'",
        "unknown 'grad'",
    )
    refuses(mixed, pd.DataFrame({"load": [1], "rank": [1], "day": [3]}), "columns 'grade', 'gate'", "unknown 'day'")
    assert asked(mixed, day=[3, 4])[:, 1].tolist() == [0, 0]


def test_a_student_in_double_is_asked_in_double(mixed):
    assert asked(mixed, load=[FAR, Decimal("0.1")])[:, 0].tolist() == [FAR, 0.1]
    answered = mixed.predict({"load": [FAR], "grade": ["low"], "gate": [1], "rank": [2]})
    assert answered.dtypes.tolist() == [np.float64] * 4


def test_the_example_is_one_that_the_model_answers(mixed, folder):
    shown = mixed.input_example
    assert shown["grade"].tolist()[0] == "low" and shown["grade"].isna().tolist() == [False, True]
    assert np.asarray(mixed.predict(shown)).tolist() == [[1.5, 0, 1, 2], [2.5, -7, -7, 1]]
    text = (folder / "mixed" / "serving_input_example.json").read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_what_the_registry_compares_is_what_a_user_has():
    rows = np.array([[FAR, 0, 2.5, 2], [2, 4, np.nan, 0]])
    frame = files.table(MIXED, rows)
    assert frame["grade"].tolist() == ["low", "true"] and frame["rank"].tolist() == ["other", 1]
    assert frame["gate"].isna().tolist() == [False, True]


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_what_is_shown_of_a_model(folder):
    model = Model.load(str(folder / "mixed"))
    assert model.signature.inputs is None
    assert [(column.name, column.type.name) for column in model.signature.outputs] == [
        (str(i), "double") for i in range(4)
    ]
    assert model.metadata["levels"] == MIXED["levels"] and model.metadata["features"] == MIXED["features"]
    (answers,) = Model.load(str(folder / "plain")).signature.outputs
    assert (answers.type, answers.shape) == (np.float32, (-1, 2))


def test_the_note_lists_the_columns_as_they_are():
    rows = files.note(MIXED).splitlines()[2:]
    assert rows[2:] == [
        "| load | double |  |",
        "| grade | string | one of low, high, 01, true; may be missing |",
        "| gate | double | one of 1, 2.5, 7; may be missing |",
        "| rank | string | one of 1, 2, other |",
    ]
    told = files.note({"levels": {}, "gapped": [], "features": ["<img src=x onerror=alert(1)>", "a|b", "`c`\n# d"]})
    assert told.splitlines()[4:] == [
        "| &lt;img src=x onerror=alert(1)&gt; | double |  |",
        "| a\\|b | double |  |",
        "| \\`c\\` \\# d | double |  |",
    ]
    assert len(files.note({"levels": {}, "gapped": [], "features": [f"pixel_{i}" for i in range(10_000)]})) < 5000


ALONE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dfkd_tune", "optuna"):
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Gone())
import mlflow, pandas, torch
frame = pandas.DataFrame({"count": [3], "load": [1050], "valve": [True]})
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(frame).to_numpy().tolist())
network = mlflow.pytorch.load_model(sys.argv[1])
print(network(torch.tensor([[1050.0, 1.0, 3.0]])).tolist())
try:
    import dfkd_tune
except ImportError:
    sys.exit(7)
"""


def test_a_model_loads_without_this_package_and_without_pickles(folder):
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-I", "-c", ALONE, str(folder / "named")]
    alone = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert alone.returncode == 7, alone.stderr
    for line in alone.stdout.splitlines():
        np.testing.assert_allclose(json.loads(line), answers_of(ROWS[:1]), rtol=1e-5)
    held = {path.name for path in (folder / "named").rglob("*") if path.is_file()}
    assert {name for name in held if name.endswith((".pkl", ".pickle", ".pth"))} == set()


def test_a_model_does_not_tell_where_it_was_made(folder):
    for path in (folder / "named").rglob("*"):
        assert path.is_dir() or not {b"site-packages", str(Path.home()).encode()} & set(path.read_bytes().split(b"/"))
    assert b"stack_trace" not in (folder / "named" / "data" / "model.pt2").read_bytes()


# --- over HTTP --------------------------------------------------------------------------------------------------------


RECORDS = [
    {"load": FAR, "grade": "high", "gate": 2.5, "rank": "other", "id": 1},
    {"load": 2, "grade": None, "gate": None, "rank": 1, "id": 2},
]
ANSWERS = [[FAR, 1, 2.5, 2], [2, -7, -7, 0]]
BODIES = {
    "dataframe_split": {"columns": list(RECORDS[0]), "data": [list(record.values()) for record in RECORDS]},
    "dataframe_records": RECORDS,
    "instances": RECORDS,
    "inputs": {name: [record[name] for record in RECORDS] for name in reversed(RECORDS[0])},
}
CSV = f"id,rank,gate, grade ,load\n1,other,2.5,high,{FAR}\n2,1,,,2\n"


def through(model, body: str, kind: str = "application/json") -> list[list[float]]:
    """Answers by the handler of ``mlflow models serve``."""
    answer = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
    assert answer.status == 200
    told = json.loads(answer.response)["predictions"]
    return [list(row.values()) if isinstance(row, dict) else row for row in told]


@pytest.mark.parametrize("key", BODIES)
def test_requests_in_json(mixed, key):
    assert through(mixed, json.dumps({key: BODIES[key]})) == ANSWERS


def test_requests_in_csv(mixed, plain):
    assert through(mixed, CSV, "text/csv") == ANSWERS
    rows = "".join(f"{b:g},{a:g},{c:g}\n" for a, b, c in ROWS)
    np.testing.assert_allclose(through(plain, "x1,x0,x2\n" + rows, "text/csv"), answers_of(ROWS), rtol=1e-5)
    body = pd.DataFrame(ROWS).to_csv(index=False)
    np.testing.assert_allclose(through(plain, body, "text/csv"), answers_of(ROWS), rtol=1e-5)
    with pytest.raises(MlflowException, match="header: holds numbers"):
        through(plain, rows, "text/csv")


def test_requests_without_names(plain):
    for body in ({"instances": ROWS.tolist()}, {"inputs": ROWS.tolist()}, {"dataframe_split": {"data": ROWS.tolist()}}):
        np.testing.assert_allclose(through(plain, json.dumps(body)), answers_of(ROWS), rtol=1e-5)


def test_a_server_answers_and_says_what_is_wrong(folder, tmp_path):
    """The whole ``mlflow models serve``; tests/test_docs.py follows the tutorial's words."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "mixed")]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]

    def post(body: str, kind: str) -> list[list[float]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": kind}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [list(row.values()) for row in json.loads(answer.read())["predictions"]]

    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path):
        for key, body in BODIES.items():
            assert post(json.dumps({key: body}), "application/json") == ANSWERS
        assert post(CSV, "text/csv; charset=utf-8") == ANSWERS
        for body, kind in (
            (json.dumps({"instances": [RECORDS[0] | {"grade": "medium"}]}), "application/json"),
            (CSV.replace("high", "medium"), "text/csv"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(body, kind)
            assert refused.value.code == 400
            assert "column 'grade': holds 'medium', which is no level" in json.loads(refused.value.read())["message"]
