"""``.onnx`` files of students of other kinds answer as the student does."""

import onnx
import onnxruntime
import pytest
import torch
from exported import UNITS, answers_of, rbf, rows
from torch import nn

from dfkd_tune.export.export import export
from dfkd_tune.export.formats.onnx import to_onnx

pytestmark = pytest.mark.usefixtures("undrawn")


def test_onnx_of_students_of_other_kinds(tmp_path):
    bumps = rbf()
    export(bumps, UNITS, "pt2", tmp_path / "bumps.pt2")
    again = torch.export.load(tmp_path / "bumps.pt2").module()  # as a run keeps it, there being no architecture file
    for name, module in {"bumps": bumps, "again": again}.items():
        export(module, UNITS, "onnx", tmp_path / f"{name}.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / f"{name}.onnx"), full_check=True)
        with torch.no_grad():
            torch.testing.assert_close(answers_of(tmp_path / f"{name}.onnx")[0](rows()), bumps(rows()))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(2, 2)

    def forward(self, state, x):
        return torch.tanh(state) + x, self.gate(x)


NAMES = {
    "an output as an input": (["state", "x"], ["state", "y"], ["state_out", "y"]),
    "numbers": (["0", "1"], ["2", "3"], ["2", "3"]),
    "spaces and signs": (["my state", "β/γ"], ["a:b", "1st"], ["a:b", "1st"]),
    "a weight": (["gate.weight", "inner.gate.weight"], ["inner.gate.bias", "y"], ["inner.gate.bias", "y"]),
}


@pytest.mark.parametrize(("inputs", "outputs", "shown"), NAMES.values(), ids=NAMES)
def test_arguments_keep_any_name(inputs, outputs, shown):
    cell, given = Cell(), (torch.randn(3, 2), torch.randn(3, 2))
    session = onnxruntime.InferenceSession(to_onnx(cell, given, inputs, outputs, {}))
    assert [each.name for each in session.get_inputs()] == inputs
    assert [each.name for each in session.get_outputs()] == shown
    found = session.run(shown, {name: value.numpy() for name, value in zip(inputs, given, strict=True)})
    for one, expected in zip(found, cell(*given), strict=True):
        torch.testing.assert_close(torch.from_numpy(one), expected)
