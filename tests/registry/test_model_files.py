"""What the files of a registered model hold and show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.pyfunc import scoring_server
from served_models import MIXED, NAMES, PLAIN, ROWS, TYPED, answers_of, network

from dfkd_tune.registry import model_files


def test_what_is_shown_of_a_model(models):
    model = Model.load(str(models / "mixed"))
    assert model.signature.inputs is None
    assert [(column.name, column.type.name) for column in model.signature.outputs] == [
        (str(i), "double") for i in range(4)
    ]
    assert model.metadata["levels"] == MIXED["levels"] and model.metadata["features"] == MIXED["features"]
    (answers,) = Model.load(str(models / "plain")).signature.outputs
    assert (answers.type, answers.shape) == (np.float32, (-1, 2))


def test_the_note_lists_the_columns_as_they_are():
    declared = {"load": {"unit": "kg/h", "values": "between 0 and 9"}}
    rows = model_files.note(MIXED | {"declared": declared}).splitlines()[2:]
    assert rows[2:] == [
        "| load | double | kg/h | between 0 and 9 |",
        "| grade | string |  | one of low, high, 01, true; may be missing |",
        "| gate | double |  | one of 1, 2.5, 7; may be missing |",
        "| rank | string |  | one of 1, 2, other |",
    ]
    told = model_files.note(
        {"levels": {}, "gapped": [], "features": ["<img src=x onerror=alert(1)>", "a|b", "`c`\n# d"]}
    )
    assert told.splitlines()[4:] == [
        "| &lt;img src=x onerror=alert(1)&gt; | double |  |  |",
        "| a\\|b | double |  |  |",
        "| \\`c\\` \\# d | double |  |  |",
    ]
    assert len(model_files.note({"levels": {}, "gapped": [], "features": [f"pixel_{i}" for i in range(10_000)]})) < 5000


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


def test_a_model_loads_without_this_package_and_without_pickles(models):
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-I", "-c", ALONE, str(models / "named")]
    alone = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert alone.returncode == 7, alone.stderr
    for line in alone.stdout.splitlines():
        np.testing.assert_allclose(json.loads(line), answers_of(ROWS[:1]), rtol=1e-5)
    held = {path.name for path in (models / "named").rglob("*") if path.is_file()}
    assert {name for name in held if name.endswith((".pkl", ".pickle", ".pth"))} == set()


def test_a_model_does_not_tell_where_it_was_made(models):
    for path in (models / "named").rglob("*"):
        assert path.is_dir() or not {b"site-packages", str(Path.home()).encode()} & set(path.read_bytes().split(b"/"))
    assert b"stack_trace" not in (models / "named" / "data" / "model.pt2").read_bytes()


DOMAIN = {
    "low": [0.0, None, None],
    "high": [2000.0, None, None],
    "optional": [False, False, False],
    "levels": [(1, [0.0, 1.0], 1e-6)],
    "ordered": [0, 2],
    "mean": [1000.0, 4.0],
    "deviation": [100.0, 3.0],
    "whitening": None,
    "most": 9.0,
}


def test_a_guarded_model_says_which_rows_are_in_its_domain(tmp_path):
    for name, features in {"named": NAMES, "plain": ["x0", "x1", "x2"]}.items():
        model_files.save(tmp_path / name, network(), PLAIN | {"features": features, "domain": DOMAIN}, Model())
        served = mlflow.pyfunc.load_model(str(tmp_path / name))
        frame = pd.DataFrame(np.array([[1050.0, 1.0, 3.0], [5000.0, 1.0, 3.0], [900.0, 0.5, 3.0]]), columns=features)
        found = served.predict(frame, params={"in_domain": True})
        assert found["in_domain"].tolist() == [True, False, False]
        np.testing.assert_allclose(found[[0, 1]], served.predict(frame))
        assert "in_domain" not in served.predict(frame) and served.predict(frame[:0], {"in_domain": True}).empty
    body = {"dataframe_split": frame.to_dict("split"), "params": {"in_domain": True}}
    said = scoring_server.invocations(json.dumps(body), "application/json", served, served.metadata.get_input_schema())
    assert [row["in_domain"] for row in json.loads(said.response)["predictions"]] == [True, False, False]


def test_the_note_of_declared_columns_has_their_types():
    """Those that a signature declares; by default any numbers are taken, and they are shown as doubles."""
    kinds = [line.split(" | ")[1] for line in model_files.note(TYPED, typed=True).splitlines()[4:]]
    assert kinds == ["double", "long", "long", "string", "double", "double", "boolean"]
    assert {line.split(" | ")[1] for line in model_files.note(TYPED).splitlines()[4:]} == {"double", "string"}
