"""ONNX networks: they answer as PyTorch does, and those that no runtime should load are refused with the reason."""

import onnx
import pytest
import torch
from asked import fails as told
from onnx import TensorProto, helper
from shaped_teachers import Images, Tuples, made, save_columns, save_onnx
from teacher_files import ROWS, answers, fails, network

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe


def graph(size: int, ir: int = 10, opset: int = 18, kind=TensorProto.FLOAT) -> onnx.ModelProto:
    """Adds a sum of ``size`` ones to its input ``(n, 3)``."""
    one = helper.make_tensor("one", kind, [1], [1])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, kind, ["n", 3]) for name in "xy"]
    size = helper.make_tensor("size", TensorProto.INT64, [1], [size])
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [size])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph(2**31), ["'ones' in its graph takes 8.6 GB", "a single row"]),
        (graph(3, ir=99), ["its IR version is 99", "takes up to", "model.ir_version ="]),
        (graph(3, opset=99), ["its opset is 99", "takes up to", "opset_version="]),
        (graph(3, kind=TensorProto.INT64), ["output y is tensor(int64)", "not classes"]),
        (onnx.ModelProto(), ["computes nothing"]),
    ],
    ids=["gigabytes", "ir", "opset", "int64", "empty"],
)
def test_onnx_networks_that_are_refused_with_the_reason(tmp_path, model, words):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString() or b"\n\x00")
    with fails(path, *words):
        load_teacher(path)


def test_an_onnx_network_of_reasonable_size_loads(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(graph(1000).SerializeToString())
    torch.testing.assert_close(answers(load_teacher(path)).float(), ROWS.float() + 1000)


def test_onnx_answers_as_torch_does(tmp_path):
    net, x = network(torch.float32).eval().requires_grad_(False), ROWS.float()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(net, (x[:2],), tmp_path / "net.onnx", dynamo=False, dynamic_axes=axes, **names)
    teacher = load_teacher(tmp_path / "net.onnx")
    torch.testing.assert_close(teacher(x), net(x), rtol=1e-5, atol=1e-6)
    found = probe(teacher, Inputs.unknown(3))
    assert (teacher.width, found.outputs, found.differentiable) == (3, 2, False)


def resolved(path, features=None):
    file = path.with_name("features.yaml")
    if features is not None:
        file.write_text(features)
    return with_inputs(load_teacher(path), None if features is None else file)


def test_onnx_networks_of_any_shape(tmp_path):
    teacher, _ = resolved(save_onnx(made(Tuples), tmp_path / "net.onnx", ["x"], ["mean", "deep"]))
    assert str(teacher.signature) == "x (N, 3) float32 -> mean (N, 2), deep (N, 1, 1)"
    teacher, _ = resolved(save_onnx(made(Images), tmp_path / "net.onnx", ["image:0"], ["y"]))
    assert teacher.layout.names[-1] == "image:0[7,7,0]"


def test_onnx_with_one_input_a_column_and_two_outputs(tmp_path):
    path = save_columns(tmp_path / "net.onnx")
    with told(path, "takes count (N, 1) int64", "arguments: {count: {levels: [0, 1, 2]}}", kind=FeaturesError):
        resolved(path)
    teacher, inputs = resolved(path, "arguments: {count: {range: [1, 9]}}")
    assert str(teacher.signature) == "load (N, 1) float32, count (N, 1) int64 -> product (N, 1), wave (N, 1)"
    assert inputs.names == ["load", "count"]
    x = inputs.raw(inputs.draw(50, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(teacher(x), torch.stack([x[:, 0] * x[:, 1], x[:, 0].sin()], dim=1))
    assert set(x[:, 1].tolist()) <= set(range(1, 10))
