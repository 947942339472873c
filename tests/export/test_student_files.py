"""A student's files give it back as it was, and what is not as it was written is told by its name."""

import json

import pytest
import torch
from asked import fails

from dfkd_tune.errors import ExportError
from dfkd_tune.export.student_files import HASHES, NAMES, hashes, read_student, student_files, types, verify
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.teachers.base import hash_bytes
from dfkd_tune.teachers.black_box import from_estimator
from dfkd_tune.teachers.data_frames import asked_by_name
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.table_model import TableModel
from dfkd_tune.testing.problems import KNOWN, make_problem, recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import yaml_io

WORDS = Inputs([Feature(name="load", missing=0.2), Feature(name="grade", levels=["low", "high"])])


def write(folder, problem, kind: str = "mlp", **sections: str) -> tuple:
    """The files of a student in a folder, and its outcome."""
    outcome = distill(problem, recipe(student=kind, steps=4, **sections), seed=3)
    made = student_files(problem, outcome, {"study": "pump", "trial": 5})
    for name, data in made.items():
        (folder / name.removeprefix("student/")).write_bytes(data)
    return outcome, {name.removeprefix("student/") for name in made}


@pytest.mark.parametrize(("inputs", "kind"), [(KNOWN, "module"), (WORDS, "mlp")], ids=["numbers", "words"])
def test_a_student_is_read_as_it_was_written(tmp_path, inputs, kind):
    problem = make_problem(lambda x: x.nan_to_num(0.0).sin().sum(1, keepdim=True), inputs=inputs)
    outcome, names = write(tmp_path, problem, kind)
    assert names < {*NAMES} and ("architecture.yaml" in names) == (kind == "mlp")
    student, result = read_student(tmp_path, hash_bytes((tmp_path / HASHES).read_bytes()))
    rows = inputs.raw(inputs.draw(20, torch.Generator().manual_seed(0)), getattr(torch, result["dtype"]))
    with torch.no_grad():
        torch.testing.assert_close(student(rows), problem.module(outcome.recipe.student, outcome.weights)(rows))
    assert (result["study"], result["trial"], result["seed"]) == ("pump", 5, 3)
    assert result["levels"] == ({"grade": ["low", "high"]} if inputs is WORDS else {})
    recorded = yaml_io.read(tmp_path / "recipe.yaml", ExportError)
    assert from_tree(recorded, "recipe") == outcome.recipe


class Table(TableModel):
    """A model that says the dtypes of its columns."""

    @property
    def kinds(self):
        return {"open": "bool", "share": "float64", "gear": "bool"}

    def predict(self, rows):
        return rows.to_numpy(dtype=float).sum(1)


def test_the_types_of_whole_numbers_are_recorded(tmp_path):
    """Of a teacher that says its own, where these are no whole numbers, and where they are truth values."""
    features = [
        Feature(name="open", levels=[0.0, 1.0]),
        Feature(name="share", levels=[0.0, 1.0]),
        Feature(name="gear", levels=[0.0, 1.0, 2.0]),
        Feature(name="load"),
    ]
    inputs = Inputs(features)
    teacher = asked_by_name(from_estimator("table", Table(), "0" * 64), inputs.names, {})
    problem = Problem(
        teacher, inputs, probe(teacher, inputs), pool_rows=512, bank_rows=200, gradients=False, dtype=torch.float64
    )
    write(tmp_path, problem, generator="gaussian")
    assert read_student(tmp_path)[1]["types"] == {"open": "boolean", "gear": "long"}
    assert types(inputs, {}) == {"open": "long", "share": "long", "gear": "long"}


def files(folder, **contents: bytes) -> None:
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / HASHES).write_bytes(hashes(contents))


def test_what_was_altered_is_told_by_its_name(tmp_path):
    files(tmp_path, weights=b"abc", layers=b"def")
    recorded = hash_bytes((tmp_path / HASHES).read_bytes())
    verify(tmp_path, recorded)
    (tmp_path / "layers").write_bytes(b"dxf")
    with fails("layers", "is truncated or altered: SHA-256", "dfkd-tune sync", kind=ExportError):
        verify(tmp_path)
    files(tmp_path, weights=b"abc", layers=b"dxf")  # whoever alters a file may alter the hashes
    with fails(HASHES, "is not what its run recorded", kind=ExportError):
        verify(tmp_path, recorded)
    (tmp_path / "weights").unlink()
    with fails("weights", "is missing from the student's files", kind=ExportError):
        verify(tmp_path)
    (tmp_path / HASHES).unlink()
    verify(tmp_path)
    with fails(HASHES, "is missing or altered", kind=ExportError):
        verify(tmp_path, recorded)


@pytest.mark.parametrize("text", ["[1]", '{"weights": ', "3", '{"../outside": "0"}'])
def test_hashes_that_lie_are_told(tmp_path, text):
    """They name a file beside them, wherever it is said to be."""
    (tmp_path / "outside").write_bytes(b"a secret")
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / HASHES).write_text(text)
    with pytest.raises(ExportError) as refusal:
        verify(tmp_path / "student")
    assert len(str(refusal.value).splitlines()) == 1 and hash_bytes(b"a secret")[:12] not in str(refusal.value)


def test_a_folder_of_something_else_is_told(tmp_path):
    files(tmp_path, **{"result.json": json.dumps({}).encode(), "architecture.yaml": b"layers: [3, 1]\n"})
    with fails(tmp_path, "holds no readable student", kind=ExportError):
        read_student(tmp_path)
