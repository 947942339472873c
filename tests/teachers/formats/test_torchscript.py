"""TorchScript: what its files tell of the arguments, and how it is told apart."""

import torch
from shaped_teachers import Lstm, Mixed, made
from teacher_files import fails
from torch import nn

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.formats.torchscript import is_script
from dfkd_tune.teachers.loader import load_teacher


def resolved(path, features=None):
    file = path.with_name("features.yaml")
    if features is not None:
        file.write_text(features)
    return with_inputs(load_teacher(path), None if features is None else file)


def test_a_script_takes_its_shapes_from_the_features_file(tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.script(made(Mixed)).save(path)
    with fails(path, "numbers of unknown shape", "{numbers: {shape: [...]}, region: {shape: [...]}}"):
        resolved(path)
    told = "arguments: {region: {shape: [], dtype: int64, levels: [0, 1, 2, 3]}, numbers: {shape: [2]}}"
    teacher, inputs = resolved(path, told)
    assert str(teacher.signature) == "numbers (N, 2) float32, region (N,) int64 -> output (N, 1)"
    assert inputs.names == ["numbers[0]", "numbers[1]", "region"]  # as the teacher has them, not as the file does
    torch.jit.script(made(Lstm)).save(path)
    teacher, _ = resolved(path, "arguments: {signal: {shape: [24, 6]}}")
    assert str(teacher.signature) == "signal (N, 24, 6) float32 -> output (N, 1)"


class Defaults(nn.Module):
    """Takes a number as well, which has a default."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor, scale: float = 2.0, shift: torch.Tensor | None = None) -> torch.Tensor:
        return scale * self.layer(x)


class Counts(Defaults):
    """Takes a number without a default."""

    def forward(self, x: torch.Tensor, count: int) -> torch.Tensor:
        return count * self.layer(x)


def test_arguments_with_a_default_are_left_out_and_others_must_be_tensors(tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.script(Defaults()).save(path)
    assert [each.name for each in load_teacher(path).signature.arguments] == ["x"]
    torch.jit.script(Counts()).save(path)
    with fails(path, "its argument count is of type int", "must be tensors", ".pt2"):
        load_teacher(path)


def test_a_script_is_told_from_other_archives(files):
    scripts = {name for name, path in files.items() if is_script(path.read_bytes())}
    assert scripts == {"script.pt", "trace.ts"}
    data = files["script.pt"].read_bytes()
    assert not is_script(b"") and not is_script(data[: len(data) // 2])
