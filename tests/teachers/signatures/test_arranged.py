"""Teachers that take and return more than rows: what each format tells of them, and that they get exactly the declared rows."""

from pathlib import Path

import pytest
import torch
from asked import fails
from shaped_teachers import (
    CALLS,
    Casting,
    Conv1d,
    Dicts,
    Images,
    Keywords,
    Lstm,
    Mixed,
    Tuples,
    made,
    save_columns,
    save_onnx,
    save_pt2,
)
from torch import nn

from dfkd_tune.errors import FeaturesError, TeacherError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.arranged import with_outputs

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


def resolved(source, folder: Path, features: str | None = None):
    file = folder / "features.yaml"
    if features is not None:
        file.write_text(features)
    return with_inputs(load_teacher(source), None if features is None else file)


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_a_pt2_tells_its_signature_and_answers_as_the_module(tmp_path, kind):
    module = made(kind)
    teacher, inputs = resolved(save_pt2(module, tmp_path / "net.pt2"), tmp_path)
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
    teacher, inputs = resolved(save_pt2(module, tmp_path / "net.pt2"), tmp_path)
    assert teacher.layout.arguments[0].dtype == dtype
    assert teacher.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert probe(teacher, inputs).outputs == 2


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


def test_a_script_takes_its_shapes_from_the_features_file(tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.script(made(Mixed)).save(path)
    with fails(
        path, "numbers of unknown shape", "{numbers: {shape: [...]}, region: {shape: [...]}}", kind=TeacherError
    ):
        resolved(path, tmp_path)
    told = "arguments: {region: {shape: [], dtype: int64, levels: [0, 1, 2, 3]}, numbers: {shape: [2]}}"
    teacher, inputs = resolved(path, tmp_path, told)
    assert str(teacher.signature) == SIGNATURES[Mixed]
    assert inputs.names == ["numbers[0]", "numbers[1]", "region"]  # as the teacher has them, not as the file does
    torch.jit.script(made(Lstm)).save(path)
    teacher, _ = resolved(path, tmp_path, "arguments: {signal: {shape: [24, 6]}}")
    assert str(teacher.signature) == SIGNATURES[Lstm]


def test_onnx_networks_of_any_shape(tmp_path):
    teacher, _ = resolved(save_onnx(made(Tuples), tmp_path / "net.onnx", ["x"], ["mean", "deep"]), tmp_path)
    assert str(teacher.signature) == "x (N, 3) float32 -> mean (N, 2), deep (N, 1, 1)"
    teacher, _ = resolved(save_onnx(made(Images), tmp_path / "net.onnx", ["image:0"], ["y"]), tmp_path)
    assert teacher.layout.names[-1] == "image:0[7,7,0]"


def test_onnx_with_one_input_a_column_and_two_outputs(tmp_path):
    path = save_columns(tmp_path / "net.onnx")
    with fails(path, "takes count (N, 1) int64", "arguments: {count: {levels: [0, 1, 2]}}", kind=FeaturesError):
        resolved(path, tmp_path)
    teacher, inputs = resolved(path, tmp_path, "arguments: {count: {range: [1, 9]}}")
    assert str(teacher.signature) == "load (N, 1) float32, count (N, 1) int64 -> product (N, 1), wave (N, 1)"
    assert inputs.names == ["load", "count"]
    x = inputs.raw(inputs.draw(50, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(teacher(x), torch.stack([x[:, 0] * x[:, 1], x[:, 0].sin()], dim=1))
    assert set(x[:, 1].tolist()) <= set(range(1, 10))


FUNCTIONS = {
    "keywords": (
        "def answer(signal, *, region): return {'y': signal.sum((1, 2)) * region}\n"
        "answer.example_inputs = {'signal': torch.zeros(2, 4, 3), 'region': torch.ones(2, dtype=torch.uint8)}\n",
        "signal (N, 4, 3) float32, region (N,) uint8 -> y (N,)",
    ),
    "arrays": (
        "import numpy as np\ndef answer(a, b): return np.sin(a).sum(1), b[:, :, None]\n"
        "answer.example_inputs = (np.zeros((2, 4)), np.zeros((2, 2), dtype='float32'))\n",
        "a (N, 4) float32, b (N, 2) float32 -> output_0 (N,), output_1 (N, 2, 1)",
    ),
    "rows": (
        "def answer(x): return x[:, :1], x.sum(1)\nanswer.example_inputs = torch.zeros(1, 5)\n",
        "x (N, 5) float32 -> output_0 (N, 1), output_1 (N,)",
    ),
}


@pytest.mark.parametrize(("text", "signature"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_tell_their_arguments_by_an_example(code, tmp_path, text, signature):
    teacher, inputs = resolved(code(f"{text}def teacher(): return answer\n"), tmp_path)
    assert str(teacher.signature) == signature
    assert probe(teacher, inputs).features == teacher.layout.width


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def answer(a, b): return a\n", ["takes a of unknown shape, b of unknown shape", "{a: {shape: [...]}"]),
        (
            "def answer(a, b): return a\nanswer.example_inputs = (torch.zeros(0, 2), 3)\n",
            ["hold no rows", "keyword arguments"],
        ),
        (
            "def answer(a): return a, object()\nanswer.example_inputs = torch.zeros(1, 2)\n",
            ["returned object, which holds no numbers"],
        ),
        ("def answer(a): return a, a.mean()\nanswer.example_inputs = torch.zeros(1, 2)\n", ["output_1 returns ()"]),
        (
            "def answer(a): return {'class': a[:, 0].long()}\nanswer.example_inputs = torch.zeros(1, 2)\n",
            ["output class returns int64"],
        ),
    ],
)
def test_functions_that_do_not_fit_are_told_what_was_found(code, tmp_path, text, words):
    source = code(f"{text}def teacher(): return answer\n")
    with fails(source, *words, kind=TeacherError):
        resolved(source, tmp_path)


def test_a_free_dimension_is_refused(tmp_path):
    class Mean(nn.Module):
        def forward(self, signal):
            return signal.mean(1)

    free = {0: torch.export.Dim("rows", min=1), 1: torch.export.Dim("steps", min=2)}
    program = torch.export.export(Mean(), (torch.randn(2, 24, 6),), dynamic_shapes=(free,))
    torch.export.save(program, tmp_path / "net.pt2")
    with fails(tmp_path / "net.pt2", "argument signal has 3 dimensions, of which 0, 1 can vary", kind=TeacherError):
        load_teacher(tmp_path / "net.pt2")


def test_a_tensor_model_of_mlflow_gets_arrays_by_name(tmp_path):
    import mlflow
    import numpy as np
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return {"y": model_input["signal"].sum((1, 2)) + model_input["region"]}

    specs = [("signal", (-1, 3, 2), "float32"), ("region", (-1,), "int64")]
    inputs = Schema([TensorSpec(np.dtype(kind), shape, name) for name, shape, kind in specs])
    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(folder, python_model=Model(), signature=ModelSignature(inputs=inputs), pip_requirements=[])
    features = tmp_path / "features.yaml"
    features.write_text("arguments: {region: {levels: [0, 1]}}")
    teacher, known = with_inputs(load_teacher(folder, trust_pickle=True), features)
    assert str(teacher.signature) == "signal (N, 3, 2) float32, region (N,) int64 -> y (N,)"
    x = known.raw(known.draw(5, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(teacher(x)[:, 0], x.sum(1))


def test_a_window_for_a_module_that_tells_no_shape_names_its_argument():
    tree = {"window": {"steps": 24, "channels": [f"c{i}" for i in range(6)]}}
    teacher = Teacher("lstm", made(Lstm), torch.float32, "sha")
    with pytest.raises(
        TeacherError, match=r"cannot answer \(3, 144\) inputs.*arguments: \{x: \{window: \{\.\.\.\}\}\}"
    ):
        with_outputs(teacher, parse_features(tree, "here"))
