"""The Open Inference Protocol: what the metadata tell, and rows and answers as its datatypes."""

import numpy as np
import pytest
import torch
from asked import fails as told
from endpoints import declared
from processes import inferring
from teacher_files import fails

from dfkd_tune.errors import FeaturesError, TeacherError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.endpoints.open_inference import OpenInference
from dfkd_tune.teachers.endpoints.protocols import Batch
from dfkd_tune.teachers.loader import load_teacher


def test_metadata_tells_the_number_of_features(server):
    assert len(with_inputs(load_teacher(f"{server}/v2/models/m"), None)[1]) == 2


def test_columns_that_the_metadata_names_are_asked_for(tmp_path):
    with inferring(tmp_path, "columns") as address, fails(address, "columns a, b, kind", "lacks kind"):
        with_inputs(load_teacher(f"{address}/v2/models/m"), declared(tmp_path, "features: [a, b]"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("strange", ["takes x [-1, 2] COMPLEX", "a teacher takes FP64, FP32"]),
        ("classes", ["its output label [-1] INT64", "not classes"]),
        (
            "several",
            ["takes count (N,) int32, and nothing says which whole numbers occur", "{count: {levels: [0, 1, 2]}}"],
        ),
        ("open", ["window of unknown shape", "arguments: {window: {shape: [...]}}"]),
        ("silent", ["number of features", "features file"]),
    ],
)
def test_what_is_no_teacher_is_told(kind, words, tmp_path):
    with (
        inferring(tmp_path, kind) as address,
        told(address, *words, kind=FeaturesError if kind == "several" else TeacherError),
    ):
        with_inputs(load_teacher(f"{address}/v2/models/m"), None)


def test_a_model_that_is_not_there_is_told(server):
    with fails(server, "tells nothing of its model", "404", "Model is not found"):
        load_teacher(f"{server}/v2/models/none")


class Told:
    """A client of a server that tells these metadata."""

    source = "http://host/v2/models/m"

    def __init__(self, inputs, outputs=()):
        self.found = {"name": "m", "inputs": [*map(tensor, inputs)], "outputs": [*map(tensor, outputs)]}

    def get(self, url):
        return self.found


def tensor(about):
    name, datatype, *shape = about
    return {"name": name, "datatype": datatype, "shape": shape}


def described(inputs, outputs=()):
    protocol = OpenInference(Told(inputs, outputs), Told.source)
    return protocol, protocol.describe()


@pytest.mark.parametrize(
    ("inputs", "dtype"),
    [
        ([("x", "FP32", -1, 4)], torch.float32),
        ([("x", "FP64", -1, 4)], torch.float64),
        ([("x", "FP16", -1, 4), ("y", "FP32", -1, 2)], torch.float32),
        ([("x", "FP32", -1, 4), ("y", "INT64", -1, 2)], torch.float64),
    ],
)
def test_rows_are_of_the_finest_datatype(inputs, dtype):
    assert described(inputs)[1].dtype == dtype


def test_inputs_of_one_value_a_row_are_columns_and_others_are_arguments():
    _, table = described([("a", "FP64", -1), ("b", "INT64", -1, 1), ("kind", "BYTES", -1)])
    assert table.signature is None and table.kinds == {"a": "float64", "b": "int64", "kind": "string"}
    _, shaped = described([("a", "FP32", -1), ("w", "UINT8", -1, 3, 2)], [("y", "FP32", -1, 2)])
    assert table.width == 3 and shaped.names is None
    assert str(shaped.signature) == "a (N,) float32, w (N, 3, 2) uint8 -> y (N, 2)"


def test_a_fixed_batch_is_one_of_every_request():
    assert described([("x", "FP64", 8, 2)])[1].rows == 8 and described([("x", "FP64", -1, 2)])[1].rows is None


def test_another_model_has_other_facts():
    facts = [described([("x", "FP64", -1, width)])[1].facts for width in (2, 2, 3)]
    assert facts[0] == facts[1] != facts[2]


def test_values_are_sent_as_their_datatype():
    protocol, _ = described([("a", "BOOL", -1), ("b", "INT32", -1, 1), ("c", "FP32", -1), ("d", "BYTES", -1)])
    rows = np.array([[1.0, 2.0, 3, "low"], [0.0, -2.0, 0.5, "high"]], dtype=object)
    (body,) = protocol.bodies(Batch((rows,), ["a", "b", "c", "d"]))
    sent = {each["name"]: each["data"] for each in body["inputs"]}
    assert sent == {"a": [True, False], "b": [2, -2], "c": [3.0, 0.5], "d": ["low", "high"]}
    assert [type(each["data"][0]) for each in body["inputs"]] == [bool, int, float, str]
    assert [each["shape"] for each in body["inputs"]] == [[2], [2, 1], [2], [2]]


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("INT64", 1.5, "INT64 holds whole numbers: declare integer: true"),
        ("FP64", float("nan"), "the protocol holds numbers alone for FP64, not nan"),
        ("FP64", "low", "the protocol holds numbers alone for FP64, not 'low'"),
    ],
)
def test_what_a_datatype_cannot_hold_is_told(datatype, value, words):
    protocol, _ = described([("x", datatype, -1, 1)])
    with pytest.raises(ValueError, match=words):
        protocol.bodies(Batch((np.array([[value]], dtype=object),)))


def test_answers_have_the_shape_that_they_say():
    protocol, _ = described([("x", "FP64", -1, 1)])
    outputs = [{"name": "y", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}, {"shape": [2], "data": [7, 8]}]
    found = protocol.answers({"outputs": outputs}, 2)
    assert found["y"].tolist() == [[1, 2, 3], [4, 5, 6]] and found["1"].tolist() == [7, 8]
    for broken in ([], [{"shape": [2]}], [{"shape": [3], "data": [1, 2]}], [7]):
        with pytest.raises(ValueError):
            protocol.answers({"outputs": broken}, 2)


@pytest.mark.parametrize(
    "metadata", [[{"name": "x", "shape": [-1]}], [7], 7, [{"name": "x", "datatype": "FP32", "shape": None}]]
)
def test_metadata_of_another_form_are_told(metadata):
    client = Told([])
    client.found["inputs"] = metadata
    with fails(client.source, "has metadata of another form than the protocol's"):
        OpenInference(client, client.source).describe()
