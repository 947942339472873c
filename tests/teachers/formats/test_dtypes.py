"""A teacher's dtype is that of its inputs, whatever its weights are kept in."""

import numpy as np
import pytest
import torch
from teacher_files import FEATURES, fails
from torch import nn

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.formats.dtypes import settled, taken_by
from dfkd_tune.teachers.loader import load_teacher


class Converts(nn.Module):
    """Takes rows of one dtype and computes in another, that of its weights."""

    def __init__(self, inner: torch.dtype):
        super().__init__()
        self.net = nn.Linear(FEATURES, 1).to(inner)

    def forward(self, x):
        return self.net(x.to(self.net.weight.dtype)).to(x.dtype)


class Looks(nn.Module):
    """Its first weight is single, the rows that it multiplies are double."""

    def __init__(self):
        super().__init__()
        self.table, self.net = nn.Embedding(4, 1), nn.Linear(FEATURES, 1).double()

    def forward(self, x):
        return self.net(x) + self.table(x[:, 0].long())


def save(module, path, dtype):
    x = torch.zeros(2, FEATURES, dtype=dtype)
    rows = ({0: torch.export.Dim("rows", min=1)},)
    torch.export.save(torch.export.export(module.eval(), (x,), dynamic_shapes=rows), path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inner", [torch.float32, torch.float64, torch.bfloat16])
def test_a_pt2_is_asked_in_the_dtype_that_it_was_exported_with(tmp_path, dtype, inner):
    teacher = load_teacher(save(Converts(inner), tmp_path / "net.pt2", dtype))
    assert (teacher.dtype, teacher.width) == (dtype, FEATURES)
    assert teacher(torch.zeros(3, FEATURES)).shape == (3, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_cast(tmp_path, dtype):
    teacher, inputs = with_inputs(load_teacher(save(Converts(torch.float32), tmp_path / "net.pt2", dtype)), None)
    assert teacher.dtype == torch.float32
    z = inputs.draw(50, torch.Generator().manual_seed(0))
    x = inputs.raw(z, teacher.dtype)
    assert torch.equal(x, x.to(dtype).float())
    assert torch.equal(inputs.project(z.clone()), z)  # synthetic rows are what the teacher gets, too


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_a_teacher_that_answers_whole_numbers_is_refused(tmp_path, dtype):
    path = save(Converts(torch.float32), tmp_path / "net.pt2", dtype)
    file = tmp_path / "features.yaml"
    file.write_text("arguments: {x: {levels: [0, 1]}}")
    with fails(path, f"returns {str(dtype).removeprefix('torch.')}", "classes"):
        with_inputs(load_teacher(path), file)


def declare(folder):
    path = folder / "features.yaml"
    path.write_text("features: [a, b, c]")
    return path


def asked(source):
    """A teacher that declares no dtype, once rows were declared."""
    return settled(load_teacher(source), torch.ones(2, FEATURES, dtype=torch.float64))


def test_torchscript_is_asked_in_the_dtype_that_it_answers(tmp_path):
    path = tmp_path / "net.pt"
    torch.jit.script(Looks()).save(path)
    assert asked(path).dtype == torch.float64
    torch.jit.script(nn.Linear(FEATURES, 1)).save(path)
    assert asked(path).dtype == torch.float32
    torch.jit.script(nn.Linear(FEATURES, 1).bfloat16()).save(path)
    assert asked(path).dtype == torch.bfloat16
    teacher, inputs = with_inputs(load_teacher(path), declare(tmp_path))
    assert teacher(inputs.raw(inputs.draw(5, torch.Generator().manual_seed(0)), teacher.dtype)).dtype == torch.float32


def test_a_module_that_is_named_is_asked_in_the_dtype_that_it_answers(code):
    looks = "class Looks(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.table, self.net = nn.Embedding(4, 1), nn.Linear(3, 1).double()\n    def forward(self, x): return self.net(x) + self.table(x[:, 0].long())\n"
    assert asked(code(looks + "def teacher(): return Looks()\n")).dtype == torch.float64
    held = "class Held(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.register_buffer('mean', torch.zeros(3).double())\n    def forward(self, x): return (x - self.mean).sum(1)\n"
    assert asked(code(held + "def teacher(): return Held()\n")).dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        *((each, torch.float64) for each in (torch.float64, "float64", np.float64, np.dtype("float64"), float, "f8")),
        *((each, torch.float32) for each in (torch.float32, "float32", np.float32, None, torch.int64, "no dtype", 3)),
    ],
)
def test_a_function_says_its_dtype_in_words_of_pytorch_or_numpy(given, taken):
    def answer(x):
        return x

    answer.dtype = given
    assert taken_by(answer) == taken
