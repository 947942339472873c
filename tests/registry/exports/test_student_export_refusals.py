"""A student's file: compared with its teacher where there is one, with its layers beside it, and nothing else is overwritten."""

import shutil
from dataclasses import replace

import pytest
import torch
from asked import fails, files_of

from dfkd_tune.errors import ExportError
from dfkd_tune.registry.exports.student_export import StudentExport, is_architecture
from dfkd_tune.registry.register import evaluator_of
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.teachers.loader import load_teacher


@pytest.fixture
def writing(store, finished, tmp_path):
    """An export of the promoted student of the study ``finished`` into a folder, in a format."""
    recorded = load_trial(store.tracking, "finished", None)
    return lambda kind, name: StudentExport(store.tracking, "finished", *recorded, kind, tmp_path / name)


def test_weights_have_their_layers_beside_them(writing, tmp_path):
    made = writing("safetensors", "student.safetensors")
    assert made.write(None).found is None
    assert files_of(tmp_path) == {"student.safetensors", "student.yaml"} and is_architecture(tmp_path / "student.yaml")
    again, x = load_teacher(tmp_path / "student.safetensors", tmp_path / "student.yaml"), torch.randn(5, 3)
    with torch.no_grad():
        torch.testing.assert_close(again(x), made.student(x))
    made.write(None)  # over an earlier export
    (tmp_path / "student.safetensors").unlink()
    with fails(made.file, "needs student.yaml for its layers, where another file is", kind=ExportError):
        made.write(None)
    assert files_of(tmp_path) == {"student.yaml"}


def test_a_file_is_compared_with_the_teacher(writing, store):
    made = writing("pt2", "student.pt2")
    evaluator = evaluator_of(store.tracking, "finished", made.run, Sources())
    written = made.write(evaluator)
    assert written.found.rmse == pytest.approx(written.recorded, rel=0.3) and written.worst < 1e-4
    torch.manual_seed(0)
    with torch.no_grad():
        other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).eval()
    made.file.unlink()
    with pytest.raises(ExportError) as refusal:
        replace(made, student=other).write(evaluator)
    assert len(str(refusal.value).splitlines()) == 1 and not made.file.exists()


def test_the_teacher_is_spared(writing, store, small_teacher, tmp_path):
    """Its own file by another name, too."""
    for name in ("teacher.safetensors", "teacher.yaml"):
        shutil.copy(small_teacher["path"].replace("teacher.safetensors", name), tmp_path)
    (tmp_path / "link.safetensors").hardlink_to(tmp_path / "teacher.safetensors")
    sources = Sources(str(tmp_path / "teacher.safetensors"), str(tmp_path / "teacher.yaml"))
    made = writing("safetensors", "link.safetensors")
    before = made.file.read_bytes()
    with fails(made.file, "is the teacher of the study; choose another name", kind=ExportError):
        made.write(evaluator_of(store.tracking, "finished", made.run, sources))
    assert made.file.read_bytes() == before


def test_an_architecture_file_is_told_from_other_files(tmp_path):
    for text, found in (("layers: [3, 1]", True), ("study: {}", False), ("[layers]", False), ("a: [", False)):
        (tmp_path / "x.yaml").write_text(text)
        assert is_architecture(tmp_path / "x.yaml") == found
    assert not is_architecture(tmp_path / "gone.yaml")
