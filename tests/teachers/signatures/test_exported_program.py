"""The signature of an exported program: names, shapes, dtypes and trees of its arguments and outputs."""

from pathlib import Path

import pytest
import torch
from asked import fails
from shaped_teachers import CALLS, Casting, Conv1d, Dicts, Images, Keywords, Lstm, Mixed, Tuples, made, save_pt2
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe


def resolved(source: Path):
    return with_inputs(load_teacher(source), None)


SIGNATURES = {
    Lstm: "signal (N, 24, 6) float32 -> output (N, 1)",
    Conv1d: "signal (N, 24, 6) float32 -> output (N, 1, 1)",
    Images: "image (N, 8, 8, 1) float32 -> output (N, 1)",
    Mixed: "numbers (N, 2) float32, region (N,) int64 -> output (N, 1)",
    Dicts: "numbers (N, 2) float32, region (N,) int64 -> quality (N, 2), power (N,)",
    Casting: "x (N, 3) float32 -> output (N, 2)",
    Tuples: "x (N, 3) float32 -> output_0 (N, 2), output_1 (N, 1, 1)",
    Keywords: "numbers (N, 2) float32, region (N,) int64, flag (N,) bool -> all.0 (N, 1), all.1 (N,)",
}


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_a_pt2_tells_its_signature_and_answers_as_the_module(tmp_path, kind):
    module = made(kind)
    teacher, inputs = resolved(save_pt2(module, tmp_path / "net.pt2"))
    assert str(teacher.signature) == SIGNATURES[kind]
    assert inputs.tier == "T0" and inputs.layout == teacher.layout
    x = inputs.raw(inputs.draw(7, torch.Generator().manual_seed(0)), teacher.dtype)
    with torch.no_grad():
        expected = teacher.layout.flat(module)(x)
        torch.testing.assert_close(teacher(x), expected)
    found = probe(teacher, inputs)
    assert found.differentiable and found.outputs == expected.shape[1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_with_several_inputs(tmp_path, dtype):
    module = made(Keywords).to(dtype)
    teacher, inputs = resolved(save_pt2(module, tmp_path / "net.pt2"))
    assert teacher.layout.arguments[0].dtype == dtype
    assert teacher.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert probe(teacher, inputs).outputs == 2


def test_a_fixed_batch_is_refused_with_the_argument_that_has_it(tmp_path):
    program = torch.export.export(nn.Linear(4, 1), (torch.randn(3, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    said = "fixed batch size", "argument input has the shape (3, 4), always with 3 rows", "dynamic_shapes={NAME: {0:"
    with fails(tmp_path / "net.pt2", *said, kind=TeacherError):
        load_teacher(tmp_path / "net.pt2")


def test_columns_of_codes_have_the_rows_of_their_embeddings(tmp_path):
    class Codes(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Embedding(5, 1), nn.Embedding(3, 1)

        def forward(self, codes):
            return self.first(codes[:, 0]) + self.last(codes[..., -1])

    free = {0: torch.export.Dim("rows", min=1)}
    program = torch.export.export(Codes(), (torch.zeros(2, 2, dtype=torch.int64),), dynamic_shapes=(free,))
    torch.export.save(program, tmp_path / "net.pt2")
    assert load_teacher(tmp_path / "net.pt2").signature.arguments[0].sizes == (5, 3)


def test_a_free_dimension_is_refused(tmp_path):
    class Mean(nn.Module):
        def forward(self, signal):
            return signal.mean(1)

    free = {0: torch.export.Dim("rows", min=1), 1: torch.export.Dim("steps", min=2)}
    program = torch.export.export(Mean(), (torch.randn(2, 24, 6),), dynamic_shapes=(free,))
    torch.export.save(program, tmp_path / "net.pt2")
    with fails(tmp_path / "net.pt2", "argument signal has 3 dimensions, of which 0, 1 can vary", kind=TeacherError):
        load_teacher(tmp_path / "net.pt2")
