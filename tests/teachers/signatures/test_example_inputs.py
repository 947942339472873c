"""The arguments of a Python teacher, from example inputs or the parameters of its call."""

from functools import partial

import numpy as np
import pytest
import torch
from asked import fails as told
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.arguments import layout_of
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.signatures.example_inputs import rows_of, signature_of

fails = partial(told, kind=TeacherError)


def resolved(source):
    return with_inputs(load_teacher(source), None)


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
def test_functions_tell_their_arguments_by_an_example(code, text, signature):
    teacher, inputs = resolved(code(f"{text}def teacher(): return answer\n"))
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
def test_functions_that_do_not_fit_are_told_what_was_found(code, text, words):
    source = code(f"{text}def teacher(): return answer\n")
    with fails(source, *words):
        resolved(source)


def two(a, b):
    return a + b


def test_one_parameter_without_an_example_is_flat_rows():
    assert signature_of("t", lambda x: x) is None and signature_of("t", nn.Linear(3, 1)) is None
    assert signature_of("t", lambda x, scale=2.0: x) is None and signature_of("t", torch.relu) is None
    assert [each.name for each in signature_of("t", two).arguments] == ["a", "b"]


@pytest.mark.parametrize(
    ("example", "signature"),
    [
        (torch.zeros(1, 3), "a (N, 3) float32"),
        (np.zeros((1, 3)), "a (N, 3) float32"),  # in NumPy's default, which says nothing
        (np.zeros((1, 3), "int64"), "a (N, 3) int64"),
        ([[1.0, 2.0]], "a (N, 2) float32"),
        (
            (torch.zeros(1, 3), {"k": torch.zeros(1), "l": [torch.ones(1, 2)]}),
            "a (N, 3) float32, b.k (N,) float32, b.l.0 (N, 2) float32",
        ),
        ({"b": torch.zeros(2, 1).double()}, "b (N, 1) float64"),
    ],
)
def test_arguments_have_names_shapes_and_dtypes_of_their_example(example, signature):
    assert str(signature_of("t", two, example)) == signature


def test_examples_as_rows_are_two_of_them():
    example = (torch.tensor([[1.0, 2.0]]), np.array([3, 4]))
    layout = layout_of(signature_of("t", two, example), "t")
    assert rows_of("t", (torch.tensor([[1.0, 2.0]]), np.array([3])), layout).tolist() == [[1, 2, 3], [1, 2, 3]]
    many = (torch.arange(6.0).view(3, 2), np.array([7, 8, 9]))
    assert rows_of("t", many, layout).tolist() == [[0, 1, 7], [2, 3, 8]]


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ((torch.zeros(1, 2), object()), "its example_inputs must hold tensors; 0.1 is of type object"),
        (torch.zeros(()), "hold no rows"),
        ((), "hold no rows"),
    ],
)
def test_other_examples_are_told_what_to_give(example, words):
    with fails("t", words, "a tensor, a tuple of positional arguments, or a dict"):
        signature_of("t", two, example)
