"""``export``: a student's file is a teacher again, with its layers beside it where it holds weights alone."""

import pytest
import torch
from asked import files_of
from printed import measured, near

pytestmark = pytest.mark.usefixtures("undrawn")


def test_an_exported_student_is_a_teacher(dfkd, tmp_path, store, finished):
    url = store.options[2:]
    (tmp_path / "out").mkdir()
    best = dfkd("export", "finished", "--format", "safetensors", "--out", "out/student.safetensors", *url)
    assert best.status == 0, best.err
    assert measured(rf"trial {finished.promoted.trial}, RMSE (\S+) of the file", best.out) == near(
        finished.promoted.rmse
    )
    assert files_of(tmp_path / "out") == {"student.safetensors", "student.yaml"}
    assert dfkd("export", "finished", "--out", "out/student.pt2", *url).status == 0
    other = next(n for n in range(6) if n != finished.promoted.trial)
    assert dfkd("export", "finished", "--trial", other, "--out", "out/other.pt2", *url).status == 0

    from dfkd_tune import load_teacher

    folder = tmp_path / "out"
    x = torch.randn(9, 3)
    weights = load_teacher(folder / "student.safetensors", folder / "student.yaml")
    with torch.no_grad():
        assert torch.allclose(weights(x), load_teacher(folder / "student.pt2")(x), atol=1e-6)
        assert not torch.allclose(weights(x), load_teacher(folder / "other.pt2")(x), atol=1e-3)
    (tmp_path / "again.yaml").write_text(
        "teacher: {path: out/student.safetensors, architecture: out/student.yaml}\nstudent: {compression: 2}\n"
    )
    assert dfkd("check", "again.yaml").status == 0
