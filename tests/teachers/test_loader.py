"""Laws of teachers: every format answers alike, nothing a file holds runs, and whatever is wrong is told in one line."""

import importlib.util
import sys
from pathlib import Path, PurePath

import pytest
import torch
from teacher_files import FEATURES, NETWORKS, OUTPUTS, ROWS, THREE, answers, fails, network, save_pt2

from dfkd_tune.teachers.formats.kinds import suffixes
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.width import infer_width

# --- every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["net.pt2", "net.safetensors", "state.pt", "checkpoint.pth", "script.pt", "trace.ts", "module.bin"]
)
def test_one_network_answers_alike_in_every_format(files, name):
    path = files[name]
    teacher = load_teacher(path, architecture=path.parent / "architecture.yaml", trust_pickle=name == "module.bin")
    with torch.no_grad():
        expected = network()(ROWS)
    torch.testing.assert_close(answers(teacher), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(teacher.function(ROWS).detach(), expected, rtol=1e-12, atol=1e-12)
    found = probe(teacher, THREE)
    assert (found.features, found.outputs, found.differentiable) == (FEATURES, OUTPUTS, True)
    assert infer_width(teacher) == FEATURES
    assert teacher.dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in teacher.function.parameters())
    assert teacher.source == str(path)


@pytest.mark.parametrize("kind", [str, Path, PurePath])
def test_a_path_may_be_of_any_kind(files, kind):
    path = files["net.safetensors"]
    teacher = load_teacher(kind(path), kind(path.parent / "architecture.yaml"))
    assert teacher.source == str(path) and infer_width(teacher) == FEATURES


def test_an_address_of_a_file_is_told_its_path(files):
    with fails("file:/", "is an address of a file", f"give its path, {files['net.pt2']}"):
        load_teacher(files["net.pt2"].as_uri())


def test_the_network_formats_under_test_are_real(files):
    assert {path.suffix for path in files.values()} == set(NETWORKS) <= set(suffixes())


def test_hash_follows_the_file_not_the_name(files, tmp_path):
    copy = tmp_path / "copy.pt2"
    copy.write_bytes(files["net.pt2"].read_bytes())
    other = save_pt2(network(torch.float32), tmp_path / "other.pt2", dtype=torch.float32)
    assert load_teacher(copy).sha256 == load_teacher(files["net.pt2"]).sha256 != load_teacher(other).sha256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_dtype_of_the_question(tmp_path, dtype):
    teacher = load_teacher(save_pt2(network(dtype), tmp_path / "net.pt2", dtype=dtype))
    assert teacher.dtype == dtype
    for asked in (torch.float32, torch.float64):
        assert teacher(ROWS.to(asked)).dtype == asked
    assert probe(teacher, THREE).differentiable


def test_gradients_are_those_of_the_network(files):
    x = ROWS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network()(x).sum(), x)
    for name in ("net.pt2", "script.pt"):
        (found,) = torch.autograd.grad(load_teacher(files[name])(x).sum(), x)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_chain_with_something_of_its_own_is_not_taken_for_a_plain_one(code):
    source = code(
        "class Clipped(nn.Sequential):\n    def forward(self, x): return super().forward(x.clamp(-6, 6))\n"
        "def teacher(): return Clipped(nn.Linear(3, 1))\n"
    )
    teacher = load_teacher(source)
    far = torch.full((2, FEATURES), 100.0)
    torch.testing.assert_close(teacher(far), teacher(far.clamp(-6, 6)))


# --- package.module:function ------------------------------------------------------------------------------------------


def test_a_function_may_return_a_module_or_a_callable(code):
    module = load_teacher(
        code("def teacher(): return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.Linear(4, 1))\n")
    )
    assert probe(module, THREE).differentiable
    assert infer_width(module) == FEATURES
    plain = load_teacher(code("def teacher(): return lambda x: (x ** 2).sum(1)\n"))
    torch.testing.assert_close(plain(ROWS)[:, 0], ROWS.square().sum(1), rtol=1e-6, atol=1e-6)
    assert probe(plain, THREE).outputs == 1


def test_a_function_of_the_working_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local_teacher.py").write_text("from torch import nn\ndef make(): return nn.Linear(3, 1)\n")
    importlib.invalidate_caches()
    try:
        assert infer_width(load_teacher("local_teacher:make")) == FEATURES
    finally:
        sys.modules.pop("local_teacher", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_package\n", ["cannot be imported", "no_such_package"]),
        ("torch.no_such_name\n", ["its import raised AttributeError", "no_such_name"]),
        ("raise ValueError('two\\nlines')\n", ["its import raised ValueError", "two"]),
        ("raise SystemExit('bye')\n", ["its import raised SystemExit", "bye"]),
        ("def other(): pass\n", ["has no teacher"]),
        ("teacher = 3\n", ["teacher is a int, not a function"]),
        ("def teacher(): raise RuntimeError('out\\nof order')\n", ["the call raised RuntimeError", "out"]),
        ("def teacher(): return 'net.pt2'\n", ["must return an nn.Module or a callable", "str"]),
        ("def teacher(): pass\n", ["must return an nn.Module or a callable", "NoneType"]),
    ],
)
def test_functions_that_give_no_teacher(code, text, words):
    source = code(text)
    with fails(source, *words):
        load_teacher(source)


def test_a_module_that_does_not_exist():
    with fails("no_such_module:make", "cannot be imported", "no_such_module"):
        load_teacher("no_such_module:make")


def test_hash_of_named_code_follows_weights_and_text(code):
    linear = "def teacher():\n    torch.manual_seed({})\n    return nn.Linear(3, 1)\n"
    one, same, other = (load_teacher(code(linear.format(seed))).sha256 for seed in (0, 0, 1))
    assert one == same != other
    text = "def teacher(): return lambda x: x.sum(1) * {}\n"
    one, same, other = (load_teacher(code(text.format(factor))).sha256 for factor in (1, 1, 2))
    assert one == same != other


def test_code_without_text_is_named_instead(code):
    source = code("import functools\nteacher = functools.partial(nn.ReLU)\nexec('def made(): return torch.sin')\n")
    assert load_teacher(source).sha256
    made = source.replace(":teacher", ":made")
    assert load_teacher(made).sha256
