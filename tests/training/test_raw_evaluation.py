"""What is certified is what was shipped: the exported student, reloaded, against the teacher as its file loads."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dfkd_tune import Inputs
from dfkd_tune.errors import ExportError, FeaturesError
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.export.export import export
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.student_files import HASHES, hashes, read_student, student_files
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import COARSEST, Encoding, encoder, require_resolution, rounding, spacing
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.level_order import with_order
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.registry.certificates import issue
from dfkd_tune.students.rbf import RBF
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import KNOWN, make_problem, network, recipe
from dfkd_tune.training.distill import Outcome, distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import (
    ExportedStudent,
    Measured,
    RawEvaluator,
    agree,
    agree_by_output,
    fresh_fidelity,
    input_dtype,
)

FAR = parse_features(
    {
        "features": [
            {"name": "stamp", "mean": 1.7e9, "std": 60.0},
            {"name": "current", "mean": 0, "std": 1e-9},
            {"name": "gear", "levels": [1, 2, 3]},
        ]
    },
    "far",
)
TABLE = torch.tensor([0.0, 1.0, -1.0, 3.0], dtype=torch.float64)
STUDENTS = {
    "mlp": {"kind": "mlp", "width": 5},
    "rbf": {"kind": "rbf", "width": 5},
    "module": {"kind": "module", "path": "torch.nn:Linear"},
}


def far(x: Tensor) -> Tensor:
    """A smooth part of features far from zero and near it, and a looked-up offset a gear."""
    return torch.sin((x[:, 0] - 1.7e9) / 30) + 1e9 * x[:, 1] + TABLE[x[:, 2].long()].to(x)


def problem_of(function, inputs: Inputs, dtype=torch.float64) -> Problem:
    teacher = Teacher("tiny", function, dtype, "sha")
    inputs = with_order(teacher, inputs)
    return Problem(teacher, inputs, probe(teacher, inputs), pool_rows=256, bank_rows=100)


@pytest.fixture(scope="module")
def outcomes() -> tuple[Problem, dict[str, Outcome]]:
    problem = problem_of(far, FAR)
    base = recipe(PRESETS["random"], steps=20, batch=20)
    return problem, {name: distill(problem, recipe(base, student=about), 0) for name, about in STUDENTS.items()}


def write(problem: Problem, outcome: Outcome, folder, about: dict | None = None) -> None:
    for name, data in student_files(problem, outcome, about or {}).items():
        (folder / name.rpartition("/")[2]).write_bytes(data)


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_student_ships_what_it_learned(outcomes, kind, tmp_path):
    """Far from zero and near it, with levels in no order: the files answer like the weights in training, in every format."""
    problem, made = outcomes
    outcome = made[kind]
    assert outcome.gaps["exactness/student"] < 1e-4 and outcome.gaps["exactness/teacher"] == 0
    write(problem, outcome, tmp_path)
    module, result = read_student(tmp_path)
    units = InputSchema.of(result)
    assert (result["dtype"], result["levels"]) == ("float64", {"gear": [1.0, 2.0, 3.0]})
    assert units.encoding == problem.encoder.encoding
    assert units.rows.dtype == torch.float64 == input_dtype(module)
    for format in ("pt2", "onnx", "safetensors"):
        _, rmse = export(module, units, format, tmp_path / f"out.{format}", problem.evaluator.rmse)
        assert rmse == pytest.approx(outcome.selection.rmse, rel=1e-3)
        # As somebody has it who asks the teacher with rows of their own.
        x = FAR.raw(FAR.draw(300, torch.Generator().manual_seed(9)))
        answer = EXPORTS[format].read((tmp_path / f"out.{format}").read_bytes(), module)
        gap = answer(x).double()[:, 0] - far(x)
        assert float(gap.square().mean().sqrt()) == pytest.approx(outcome.selection.rmse, rel=0.3)


def test_a_certificate_is_of_exact_rows(outcomes):
    problem, made = outcomes
    found = certify(problem, made["mlp"])
    student = ExportedStudent.of(problem.module(made["mlp"].recipe.student, made["mlp"].weights))
    assert student.dtype == torch.float64
    x = problem.inputs.raw(problem.banks["report"].z)
    with torch.no_grad():
        gap = student.answer(x).double()[:, 0] - far(x)
    assert found.report.rmse == pytest.approx(float(gap.square().mean().sqrt()), rel=1e-9)
    assert "gear is" in str(found.as_dict()["regions"]) or all(
        condition.feature != "gear" for region in found.regions for condition in region.conditions
    )


def test_a_student_that_is_not_what_was_trained_is_not_certified(outcomes, tmp_path):
    problem, made = outcomes
    write(problem, made["mlp"], tmp_path)
    assert issue(problem, tmp_path, {}).student["exported_rmse"] == pytest.approx(made["mlp"].selection.rmse, rel=1e-3)
    result = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(result | {"rmse": 0.5 * result["rmse"]}))
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != HASHES}
    (tmp_path / HASHES).write_bytes(hashes(kept))
    with pytest.raises(ExportError) as caught:
        issue(problem, tmp_path, {})
    assert f"{result['rmse']:.4g}" in str(caught.value) and f"{0.5 * result['rmse']:.4g}" in str(caught.value)


def test_figures_agree_to_rounding_alone():
    agree("x", 0.1, 0.1005, 1.0)
    agree("x", 1e-6, 9e-6, 1.0)
    for exported, recorded in ((0.1, 0.11), (0.11, 0.1), (float("nan"), 0.1)):
        with pytest.raises(ExportError, match="its training recorded"):
            agree("x", exported, recorded, 1.0)


def test_a_small_output_does_not_hide_behind_a_large_one():
    theirs = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor(
        [2e-7, 1.7e5]
    )
    ours = theirs * torch.tensor([0.9, 1.01])
    known = (ours - theirs).square().mean(0).sqrt().tolist()
    agree_by_output("x", theirs, ours, known, FAR, "teacher.pt2")
    ours[:, 0] = 0.0
    with pytest.raises(ExportError, match="its training recorded"):
        agree_by_output("x", theirs, ours, known, FAR, "teacher.pt2")
    told = Measured.of(["leak", "force"], (ours - theirs).square().mean(0), theirs.std(0), 500)
    assert told.by_output["leak"].relative == pytest.approx(1, rel=0.02) and "leak" in told.outputs
    assert told.relative == pytest.approx((1 / 2) ** 0.5, rel=0.02) and "over all outputs" in str(told)


def test_the_judge_takes_no_short_cut():
    """A teacher whose layers were read wrongly is queried directly, in training and by the evaluator."""
    problem = make_problem(network(), quick=True)
    assert problem.teacher.fast is not None and problem.sample.teacher_gap < 1e-9
    wrong = replace(problem.teacher, fast=network(hidden=3).double())
    student = ExportedStudent.of(network())
    assert RawEvaluator(wrong, problem.inputs, 0, 50).rmse(student) < 1e-6


def test_layers_that_answer_otherwise_are_not_asked(caplog):
    quick = make_problem(network(), quick=True).teacher
    (weight, bias), *rest = quick.fast.layers
    bent = replace(quick, fast=replace(quick.fast, layers=((weight * 1.2, bias), *rest)))
    with caplog.at_level(logging.WARNING):
        problem = Problem(bent, Inputs.unknown(4), probe(bent, Inputs.unknown(4)), pool_rows=64, bank_rows=50)
    assert problem.teacher.fast is None and "is queried directly" in caplog.text
    z = problem.banks["selection"].z
    expected = (quick.function(z.double()) - problem.shift) / problem.spread
    torch.testing.assert_close(problem.banks["selection"].values.double(), expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "about, dtype",
    [
        ({}, "float32"),
        ({"mean": 300.0, "std": 5.0}, "float32"),
        ({"mean": 1.7e9, "std": 60.0}, "float64"),
        ({"range": [1_000.0, 1_001.0]}, "float64"),
        ({"range": [0.0, 1.0]}, "float32"),
        ({"levels": [20_230_101, 20_230_102, 20_230_103]}, "float64"),
        ({"levels": [20_230_101, 20_230_102], "nominal": True}, "float64"),
        ({"levels": [1e6, 2e6, 3e6], "nominal": True}, "float32"),
        ({"levels": ["a", "b"]}, "float32"),
        ({"mean": 1e100, "std": 1e99}, "float64"),
        ({"mean": 0.0, "std": 1e-44}, "float64"),
        ({"quantiles": {0.1: 1e9, 0.9: 1e9 + 5}}, "float64"),
        ({"range": [0, 2**24], "integer": True}, "float32"),
        ({"range": [0, 2**24 + 1], "integer": True}, "float64"),
        ({"mean": 0, "std": 1e9, "integer": True}, "float64"),
    ],
)
def test_float32_where_it_tells_values_apart(about, dtype):
    inputs = parse_features({"features": [{"name": "a"}, {"name": "b"} | about]}, "file")
    assert encoder(inputs).encoding.dtype == dtype
    assert (rounding(inputs, 1, torch.float32) > COARSEST) <= (dtype == "float64")


def test_a_teacher_that_cannot_tell_values_apart_is_refused():
    for name, about in {"stamp": {"mean": 1.7e9, "std": 60.0}, "day": {"levels": [20_230_101, 20_230_102]}}.items():
        inputs = parse_features({"features": ["a", {"name": name} | about]}, "file")
        with pytest.raises(FeaturesError, match=rf"feature '{name}': the teacher takes float32.*float64"):
            require_resolution(torch.float32, inputs)
        require_resolution(torch.float64, inputs)


def test_whole_numbers_that_a_teacher_cannot_take_are_refused():
    """Seconds since 1970, over a wide range: rounding is small, but most whole numbers do not exist in float32."""
    about = {"name": "stamp", "range": [1_700_000_001, 1_730_000_000]}
    inputs = parse_features({"features": ["a", about | {"integer": True}]}, "file")
    with pytest.raises(
        FeaturesError, match=r"'stamp': the teacher takes float32.*steps are 128 at 1730000000; leave integer out"
    ):
        require_resolution(torch.float32, inputs)
    require_resolution(torch.float64, inputs)
    require_resolution(torch.float32, parse_features({"features": ["a", about]}, "file"))


@pytest.mark.parametrize("value", [1e-42, 0.1, 1.0, 330.0, 2.0**24, 1.7e9, 3e38, -5.5])
def test_spacing_is_that_of_numpy(value):
    for dtype, own in ((torch.float32, np.float32), (torch.float64, np.float64), (torch.float16, np.float16)):
        if abs(value) < float(np.finfo(own).max):
            assert spacing(value, dtype) == abs(float(np.spacing(own(value)))), dtype


def test_raw_and_standardized_rows_are_encoded_alike():
    inputs = parse_features(
        {
            "features": [
                {"name": "a", "mean": 3.0, "std": 2.0},
                {"name": "b", "levels": [5, 70, 900], "nominal": True},
                {"name": "c", "levels": ["x", None, "y"]},
                {"name": "d", "levels": [0, 1]},
            ]
        },
        "file",
    )
    made = encoder(inputs)
    assert made.encoding.width == made.columns.width == 2 + 3 + 3
    z = inputs.draw(100, torch.Generator().manual_seed(0))
    e = made.rows(z)
    torch.testing.assert_close(made.encoding.module()(inputs.raw(z, torch.float32)).double(), e, rtol=1e-6, atol=1e-6)
    assert bool((e[:, 2:5].sum(1) == 1).all()) and bool((e[:, 5:].sum(1) == 1).all())
    # Gradients go to the ordered features and come back from them.
    gradients = torch.randn(100, 2, 4, dtype=torch.float64)
    there = made.gradients(gradients)
    assert there.shape == (100, 2, 8) and not there[..., 2:].any()
    torch.testing.assert_close(made.back(there, there)[..., [0, 3]], gradients[..., [0, 3]])
    # A layer over raw rows is one over encoded rows.
    weight, bias = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    encoded, shift = made.first_layer(weight, bias)
    x = inputs.raw(z).nan_to_num(0.0)
    torch.testing.assert_close(x @ weight.T + bias, e @ encoded.T + shift)


def test_encoded_students_are_read_by_torch_alone(tmp_path):
    encoding = Encoding([0.0, 1.0], [1.0, 2.0], "float64", {1: [1.0, 2.0, "missing"]})
    made = RBF(width=3)
    weights = made.init_params(Columns(encoding.width), 1, torch.Generator().manual_seed(0), torch.float32)
    module = made.module(weights, Columns(encoding.width), encoding, torch.zeros(1).double(), torch.ones(1).double())
    x = torch.tensor([[0.3, 1.0], [0.3, 2.0], [0.3, float("nan")]], dtype=torch.float64)
    export(module, InputSchema(["a", "b"], encoding, x), "pt2", tmp_path / "s.pt2")
    again = torch.export.load(io.BytesIO((tmp_path / "s.pt2").read_bytes())).module()
    torch.testing.assert_close(again(x), module(x))
    assert len({float(v) for v in module(x)}) == 3
    assert isinstance(module, nn.Module) and KNOWN.nominal == []


def test_a_function_says_that_it_takes_float64(code):
    text = "def answer(x):\n    assert x.dtype == {0}\n    return x.sum(1)\n\n\ndef teacher():\n    {1}\n    return answer\n"
    double = load_teacher(code(text.format("torch.float64", "answer.dtype = torch.float64")))
    single = load_teacher(code(text.format("torch.float32", "pass")))
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    require_resolution(double.dtype, FAR)
    for teacher in (double, single):
        assert teacher(torch.ones(2, 3)).shape == (2, 1)


def test_what_is_printed_of_a_file_is_measured_on_rows_that_chose_nothing(outcomes):
    problem, made = outcomes
    student = ExportedStudent.of(problem.module(made["mlp"].recipe.student, made["mlp"].weights))
    found = fresh_fidelity(problem.evaluator, student)
    rmse = found.rmse
    assert found.rows >= 2_048 and rmse == pytest.approx(made["mlp"].selection.rmse, rel=0.2)
    x = FAR.raw(FAR.draw(20_000, torch.Generator().manual_seed(3)))
    with torch.no_grad():
        gap = student.answer(x).double()[:, 0] - far(x)
    assert rmse == pytest.approx(float(gap.square().mean().sqrt()), rel=0.05)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("teacher.pt2", "the teacher's file and the features file"),
        ("in memory: <lambda>", "let the teacher answer the same rows alike"),
        ("plant:teacher", "let the teacher answer the same rows alike"),
        ("http://host:8000/invocations", "one version of the model answers at this address"),
        ("models:/pump@champion", "name one version of the model"),
    ],
)
def test_a_teacher_that_changed_is_told_by_what_it_is(source, words):
    with pytest.raises(ExportError) as refusal:
        agree_by_output("x", torch.zeros(9, 1), torch.ones(9, 1), [0.5], FAR, source)
    assert words in refusal.value.remedy and ("file" in words or "file" not in refusal.value.remedy)
