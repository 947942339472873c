"""A finished student is kept for other processes, with its weights for every fold."""

import pytest
import torch

from dfkd_tune.errors import StorageError
from dfkd_tune.students.mlp import MLP
from dfkd_tune.training.answered.finished_student import FinishedStudent, keep


def weights(seed: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng) for shape in ((3, 12), (12,), (12, 1), (1,))]


@pytest.mark.parametrize("count", [1, 3, 11])
def test_every_fold_is_read_as_it_was_kept(tmp_path, count):
    folds = [weights(seed) for seed in range(count)]
    keep(tmp_path / "student.safetensors", folds)
    found = FinishedStudent.read(tmp_path / "student.safetensors", MLP(width=12))
    assert found.student == MLP(width=12) and len(found.folds) == count
    for fold, kept in enumerate(folds):
        assert all(map(torch.equal, found.weights(fold), kept))
    assert found.weights(count) is None


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="taken"):
        keep(tmp_path / "taken" / "student.safetensors", [weights(0)])
