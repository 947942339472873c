"""A network of tensors as a graph of ONNX."""

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.onnx_graph import to_onnx


class Sum(nn.Module):
    """Two arguments, two outputs."""

    def forward(self, a, b):
        return a + b, a.mean(1)


def test_a_graph_has_names_metadata_and_any_number_of_rows():
    given = torch.rand(2, 3), torch.rand(2, 3)
    model = onnx.load_from_string(to_onnx(Sum(), given, ["a", "b"], ["sum", "mean"], {"made": "here"}))
    assert [each.name for each in model.graph.input] == ["a", "b"]
    assert [each.name for each in model.graph.output] == ["sum", "mean"]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"made": "here"}
    first = {each.type.tensor_type.shape.dim[0].dim_param for each in (*model.graph.input, *model.graph.output)}
    assert first == {"batch"}


class Unwritable(nn.Module):
    """ONNX has no such operator."""

    def forward(self, x):
        return torch.linalg.eigvals(x @ x.T).real


def test_a_network_that_onnx_cannot_hold_is_refused():
    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        to_onnx(Unwritable(), (torch.rand(2, 3),), ["x"], ["y"], {})


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
