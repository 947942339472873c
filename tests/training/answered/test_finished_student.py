"""A finished student is kept for other processes, with its weights for every fold."""

import pytest
import torch
from safetensors.torch import save_file

from dfkd_tune.errors import StorageError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.students.mlp import MLP
from dfkd_tune.training.answered.finished_student import FinishedStudent, keep


def weights(seed: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng) for shape in ((3, 12), (12,), (12, 1), (1,))]


@pytest.mark.parametrize("count", [1, 3, 11])
def test_every_fold_is_read_as_it_was_kept(tmp_path, count):
    folds = [weights(seed) for seed in range(count)]
    keep(tmp_path / "student.safetensors", folds)
    found = FinishedStudent.read(tmp_path / "student.safetensors", MLP(width=12), Columns(3), 1, torch.float32)
    assert found.student == MLP(width=12) and len(found.folds) == count
    for fold, kept in enumerate(folds):
        assert all(map(torch.equal, found.weights(fold), kept))
    assert found.weights(count) is None


@pytest.mark.parametrize(
    "damage",
    ["garbage", "half", "empty", "another width", "a layer more", "a fold less whole", "not finite", "another dtype"],
)
def test_a_file_without_the_student_is_told_and_left_out(tmp_path, damage, caplog):
    file, student = tmp_path / "student.safetensors", MLP(width=12)
    keep(file, [weights(0), weights(1)])
    if damage == "garbage":
        file.write_bytes(b"garbage")
    elif damage == "half":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "empty":
        save_file({}, file)
    elif damage == "another width":
        student = MLP(width=13)
    elif damage == "a layer more":
        keep(file, [[*weights(0), torch.zeros(1)], [*weights(1), torch.zeros(1)]])
    elif damage == "not finite":
        keep(file, [weights(0), [*weights(1)[:3], torch.tensor([torch.nan])]])
    elif damage == "another dtype":
        keep(file, [[weight.double() for weight in weights(0)]])
    else:
        keep(file, [weights(0), weights(1)[:3]])
    assert FinishedStudent.read(file, student, Columns(3), 1, torch.float32) is None
    assert f"{file} does not hold the student of its trial" in caplog.text
    caplog.clear()
    assert FinishedStudent.read(file, student, Columns(3), 1, torch.float32) is None and not caplog.records  # told once


def test_a_file_that_is_not_there_needs_no_word(tmp_path, caplog):
    assert FinishedStudent.read(tmp_path / "student.safetensors", MLP(width=12), Columns(3), 1, torch.float32) is None
    assert not caplog.records


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="taken"):
        keep(tmp_path / "taken" / "student.safetensors", [weights(0)])
