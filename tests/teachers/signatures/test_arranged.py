"""Teachers that take and return more than rows: what each format tells of them, and that they get exactly the declared rows."""

from pathlib import Path

import pytest
import torch
from shaped_teachers import (
    Lstm,
    Mixed,
    made,
    save_pt2,
)

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.arranged import outputs_alone, with_outputs


def resolved(source, folder: Path, features: str | None = None):
    file = folder / "features.yaml"
    if features is not None:
        file.write_text(features)
    return with_inputs(load_teacher(source), None if features is None else file)


def test_gradients_pass_numbers_and_are_zero_for_whole_ones(tmp_path):
    teacher, inputs = resolved(save_pt2(made(Mixed), tmp_path / "net.pt2"), tmp_path)
    x = inputs.raw(inputs.draw(5, torch.Generator().manual_seed(0)), teacher.dtype)
    y, pull = teacher.vjp(x)
    gradient = pull(torch.ones_like(y))
    assert (gradient[:, :2] != 0).all() and (gradient[:, 2] == 0).all()


SEEN = """
class Seen(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls, self.example_inputs = [], (torch.zeros(1, 2, 2), torch.zeros(1, dtype=torch.int32))
    def forward(self, signal, region):
        self.calls.append((signal, region))
        return signal.sum((1, 2)) + region
def teacher(): return Seen()
"""


def test_exactly_the_declared_values_arrive(code, tmp_path):
    told = "arguments: {signal: {levels: [0.1, 0.7], nominal: false}, region: {levels: [-7, 1000000, 20000001]}}"
    teacher, inputs = resolved(code(SEEN), tmp_path, told)
    probe(teacher, inputs)
    calls = [call for call in teacher.function.inner.calls if len(call[0]) > 50]
    assert calls
    for signal, region in calls:
        assert signal.shape[1:] == (2, 2) and (signal.dtype, region.dtype) == (torch.float32, torch.int32)
        assert set(signal.flatten().tolist()) == set(torch.tensor([0.1, 0.7]).tolist())
        assert set(region.tolist()) == {-7, 1000000, 20000001}


def test_a_window_for_a_module_that_tells_no_shape_names_its_argument():
    tree = {"window": {"steps": 24, "channels": [f"c{i}" for i in range(6)]}}
    teacher = Teacher("lstm", made(Lstm), torch.float32, "sha")
    with pytest.raises(
        TeacherError, match=r"cannot answer \(3, 144\) inputs.*arguments: \{x: \{window: \{\.\.\.\}\}\}"
    ):
        with_outputs(teacher, parse_features(tree, "here"))


@pytest.mark.parametrize("kind", [Lstm, Mixed])
def test_a_black_box_takes_the_same_rows_and_gives_no_gradients(kind, tmp_path):
    file = save_pt2(made(kind), tmp_path / "net.pt2")
    teacher, inputs = resolved(file, tmp_path)
    box, same = with_inputs(outputs_alone(load_teacher(file)), None)
    assert same.names == inputs.names and box.layout == teacher.layout
    x = inputs.raw(inputs.draw(5, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(box(x), teacher(x))
    assert probe(teacher, inputs).differentiable and not probe(box, same).differentiable
