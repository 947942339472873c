"""A student in its teacher's place: the same call, the same names, shapes and dtypes, in every format."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from processes import inferring
from safetensors import safe_open
from shaped_teachers import CALLS, Casting, Dicts, Images, Keywords, Lstm, Mixed, Tuples, made, save_columns, save_pt2

from dfkd_tune.errors import ExportError
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.export.export import export
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.student_files import read_student, student_files
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.registry import certificates
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import agree, rounding

RECIPE = {"steps": 300, "batch": 64, "generator": {"kind": "direct"}, "optimizer": {"kind": "adam", "lr": 0.01}}


def distilled(source: Path | str, folder: Path, features: str | None = None, **sections):
    """A problem, and the student of a short distillation: its network, its schema and its outcome."""
    file = folder / "features.yaml"
    if features is not None:
        file.write_text(features)
    teacher, inputs = with_inputs(load_teacher(source), file if features is not None else None)
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=600, bank_rows=300)
    tree = RECIPE if problem.probe.differentiable else RECIPE | {"generator": {"kind": "gaussian"}}
    outcome = distill(problem, from_tree(tree | sections, "recipe"), 0)
    assert outcome.selection is not None
    kept = folder / "student"
    kept.mkdir()
    for name, data in student_files(problem, outcome, {"teacher": "net"}).items():
        (kept / Path(name).name).write_bytes(data)
    network, result = read_student(kept)
    return problem, network, InputSchema.of(result), outcome


def flat(returned) -> list[torch.Tensor]:
    return torch.utils._pytree.tree_leaves(returned)


def form(returned):
    return torch.utils._pytree.tree_structure(returned)


def rounded(problem) -> torch.Tensor:
    """How much a student of this teacher rounds each output."""
    return rounding(problem.inputs, problem.file_outputs(problem.banks["selection"].z))


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.__name__)
def test_a_program_is_called_like_the_teacher(tmp_path, kind):
    teacher = save_pt2(made(kind), tmp_path / "net.pt2")
    problem, network, units, outcome = distilled(teacher, tmp_path)
    _, rmse = export(network, units, "pt2", tmp_path / "student.pt2", problem.evaluator.rmse)
    assert rmse == pytest.approx(outcome.selection.rmse, rel=1e-3, abs=float(rounded(problem).max()))
    if kind is not Lstm:  # an untrained one is hard to follow in few steps
        assert outcome.selection.nrmse < 0.7
    positional, keywords = CALLS[kind]
    theirs = torch.export.load(teacher).module()(*positional, **keywords)
    with torch.no_grad():
        ours = torch.export.load(tmp_path / "student.pt2").module()(*positional, **keywords)
    assert form(ours) == form(theirs)
    assert [(y.shape, y.dtype) for y in flat(ours)] == [(y.shape, y.dtype) for y in flat(theirs)]
    again = load_teacher(tmp_path / "student.pt2")
    assert str(again.signature) == str(problem.teacher.signature)
    x = problem.inputs.raw(problem.banks["report"].z[:50], again.dtype)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), rtol=5e-3 if kind is Casting else 1e-5, atol=1e-5)


def test_a_convolutional_student_takes_images_as_the_teacher_does(tmp_path):
    """In the order of TensorFlow, with the channels last."""
    teacher, student = save_pt2(made(Images), tmp_path / "net.pt2"), {"kind": "conv2d", "width": 8}
    problem, network, units, outcome = distilled(teacher, tmp_path, student=student, steps=100)
    assert outcome.selection.nrmse < 0.9
    for kind in ("pt2", "onnx"):
        export(network, units, kind, tmp_path / f"student.{kind}", problem.evaluator.rmse)
    x = torch.randn(5, 8, 8, 1, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(x.flatten(1))
        torch.testing.assert_close(torch.export.load(tmp_path / "student.pt2").module()(x), expected)
    found = torch.from_numpy(session.run(None, {"image": x.numpy()})[0])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [(Mixed, ["output"]), (Dicts, ["quality", "power"]), (Tuples, ["output_0", "output_1"])],
    ids=["mixed", "dicts", "tuples"],
)
def test_onnx_has_the_arguments_and_outputs_by_name(tmp_path, kind, outputs):
    problem, network, units, _ = distilled(save_pt2(made(kind), tmp_path / "net.pt2"), tmp_path)
    export(network, units, "onnx", tmp_path / "student.onnx", problem.evaluator.rmse)
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    layout = problem.inputs.layout
    assert [(e.name, e.shape[1:]) for e in session.get_inputs()] == [(a.name, [*a.shape]) for a in layout.arguments]
    assert [e.name for e in session.get_outputs()] == outputs
    x = problem.inputs.raw(problem.banks["report"].z[:50], layout.dtype)
    given = {a.name: t.numpy() for a, t in zip(layout.arguments, layout.to_arguments(x), strict=True)}
    found = [torch.from_numpy(y) for y in session.run(None, given)]
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([y.reshape(50, -1) for y in found], 1), network(x), rtol=1e-5, atol=1e-5)
    assert load_teacher(tmp_path / "student.onnx").signature.arguments == layout.arguments


def test_a_black_box_with_one_input_a_column(tmp_path):
    teacher = save_columns(tmp_path / "net.onnx")
    problem, network, units, outcome = distilled(teacher, tmp_path, "arguments: {count: {range: [1, 9]}}")
    assert not problem.probe.differentiable and outcome.selection.nrmse < 0.7
    for kind in ("pt2", "onnx"):
        export(network, units, kind, tmp_path / f"student.{kind}", problem.evaluator.rmse)
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    assert [(e.name, e.type) for e in session.get_inputs()] == [("load", "tensor(float)"), ("count", "tensor(int64)")]
    assert [e.name for e in session.get_outputs()] == ["product", "wave"]
    with torch.no_grad():
        product, wave = torch.export.load(tmp_path / "student.pt2").module()(torch.zeros(3, 1), torch.ones(3, 1).long())
    assert product.shape == wave.shape == (3, 1)


def test_words_of_an_endpoint_are_codes_in_files(tmp_path):
    told = "arguments: {count: {range: [0, 9]}, site: {levels: [north, south]}}"
    with inferring(tmp_path, "several") as address:
        problem, network, units, outcome = distilled(f"{address}/v2/models/m", tmp_path, told)
        assert outcome.selection.nrmse < 0.7 and problem.columns.width == 2 + 6 + 1 + 1 + 2 + 2
        for kind in ("pt2", "onnx"):
            export(network, units, kind, tmp_path / f"student.{kind}", problem.evaluator.rmse)
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["quality", "power"]
    about = Layout.of(json.loads(session.get_modelmeta().custom_metadata_map["layout"]))
    assert about == units.layout and about.arguments[-1].words == ("north", "south")
    x = problem.inputs.raw(problem.banks["report"].z[:5], about.dtype)
    with torch.no_grad():
        answer = torch.export.load(tmp_path / "student.pt2").module()(*about.to_arguments(x))
    assert [(y.shape[1:], y.dtype) for y in answer.values()] == [((2,), torch.float64), ((), torch.float32)]


def test_weights_say_how_arguments_lie_in_rows(tmp_path):
    _, network, units, _ = distilled(save_pt2(made(Dicts), tmp_path / "net.pt2"), tmp_path)
    export(network, units, "safetensors", tmp_path / "student.safetensors")
    with safe_open(tmp_path / "student.safetensors", "pt") as file:
        assert Layout.of(json.loads(file.metadata()["layout"])) == units.layout
        assert json.loads(file.metadata()["features"]) == ["numbers[0]", "numbers[1]", "region"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_and_keyword_arguments(tmp_path, dtype):
    teacher = save_pt2(made(Keywords).to(dtype), tmp_path / "net.pt2")
    problem, network, units, outcome = distilled(teacher, tmp_path)
    measured = problem.evaluator.rmse
    _, rmse = export(network, units, "pt2", tmp_path / "student.pt2", measured)
    agree("student.pt2", rmse, outcome.selection.rmse, 0.0, float(rounded(problem).max()))
    assert bool((rounded(problem) > 0).all()) == (dtype != torch.float64)
    (numbers,), keywords = CALLS[Keywords]
    with torch.no_grad():
        ours = torch.export.load(tmp_path / "student.pt2").module()(numbers.to(dtype), **keywords)
    assert [y.dtype for y in ours["all"]] == [dtype] * 2
    assert certificates.issue(problem, tmp_path / "student", {}).report.by_output[1].name == "all.1"
    if dtype == torch.bfloat16:
        with pytest.raises(ExportError, match="takes no bfloat16"):
            export(network, units, "onnx", tmp_path / "student.onnx")
    else:
        export(network, units, "onnx", tmp_path / "student.onnx", measured)
        session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
        kinds = {torch.float64: "tensor(double)", torch.float16: "tensor(float16)"}
        assert [each.type for each in session.get_outputs()] == [kinds[dtype]] * 2


def test_answers_of_bfloat16_stay_so_where_a_format_has_it(tmp_path):
    problem, network, units, _ = distilled(save_pt2(made(Casting), tmp_path / "net.pt2"), tmp_path)
    for kind in ("pt2", "onnx", "safetensors"):
        export(network, units, kind, tmp_path / f"student.{kind}", problem.evaluator.rmse)
    x = problem.inputs.raw(problem.sample.z[:5], torch.float32)
    with torch.no_grad():
        assert torch.export.load(tmp_path / "student.pt2").module()(x).dtype == torch.bfloat16
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].type == "tensor(float)"


def test_the_judge_asks_the_student_as_the_teacher(tmp_path):
    problem, _, _, outcome = distilled(save_pt2(made(Dicts), tmp_path / "net.pt2"), tmp_path)
    own = certify(problem, outcome)
    stored = certificates.issue(problem, tmp_path / "student", {})
    assert own.report.rmse == pytest.approx(stored.report.rmse, rel=1e-5)
    assert own.report.rmse == pytest.approx(outcome.selection.rmse, rel=0.5)
    assert set(own.worst.input) == {"numbers[0]", "numbers[1]", "region"}
    assert own.worst.input["region"] in (0, 1, 2, 3)
    assert [each.name for each in own.report.by_output] == ["quality[0]", "quality[1]", "power"]
    assert f"of output {own.worst.output_name}" in own.statement["holds"][-1]
    assert "<td>quality[1]</td>" in page(own) and f"output {own.worst.output_name} of the teacher" in page(own)
