"""A network of one's own as a student: what may be one, and that making it disturbs no random numbers."""

from functools import partial

import pytest
import torch
from asked import fails as told
from torch import nn

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.module import Module, make, template

fails = partial(told, kind=SpecError)
OWN = """
def teacher(features, outputs): return nn.Sequential(nn.Linear(features, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, outputs))
"""


def members(student, count=2):
    rng = torch.Generator().manual_seed(0)
    every = [student.init_params(Columns(3), 2, rng, torch.float64) for _ in range(count)]
    return [torch.stack(layer) for layer in zip(*every, strict=True)]


def test_members_answer_as_the_network_does_with_their_weights(code):
    student, x = Module(code(OWN)), torch.randn(2, 7, 3, dtype=torch.float64)
    weights = members(student)
    for k, answers in enumerate(student.answer(weights, x, Columns(3))):
        module = student.module(
            [w[k] for w in weights], Columns(3), Encoding([0.0] * 3, [1.0] * 3), torch.zeros(2), torch.ones(2)
        )
        torch.testing.assert_close(module(x[k].float()), answers.float(), rtol=1e-5, atol=1e-5)


def test_random_numbers_of_others_stay_as_they_are(code):
    student = Module(code(OWN))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    weights = members(student)
    student.module([w[0] for w in weights], Columns(3), Encoding([0.0] * 3, [1.0] * 3), torch.zeros(2), torch.ones(2))
    assert torch.equal(torch.rand(3), expected)


def test_an_output_without_a_dimension_is_one_output(code):
    student = Module(code("class teacher(nn.Linear):\n    def forward(self, x): return super().forward(x)[:, 0]\n"))
    rng = torch.Generator().manual_seed(0)
    weights = [w.unsqueeze(0) for w in student.init_params(Columns(3), 1, rng, torch.float64)]
    assert student.answer(weights, torch.randn(1, 7, 3, dtype=torch.float64), Columns(3)).shape == (1, 7, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def teacher(features): pass", ["the call with (3, 2) raised TypeError", "positional argument"]),
        ("def teacher(features, outputs): return 7", ["must return an nn.Module, returned int"]),
        (
            "def teacher(features, outputs): return nn.Sequential(nn.Linear(features, outputs), nn.BatchNorm1d(outputs))",
            ["must keep no buffers such as running statistics", "use LayerNorm or GroupNorm"],
        ),
    ],
)
def test_what_is_no_network_is_told(code, text, words):
    path = code(text)
    with fails(path, *words):
        make(path, 3, 2)


def test_a_function_that_is_not_there_is_told(code):
    path = code(OWN).replace(":teacher", ":missing")
    with fails(path, "missing"):
        template(path, 3, 2)


def test_a_path_names_a_module_and_a_function():
    with pytest.raises(ValueError, match="string"):
        Module("network.py")


def test_the_default_is_a_linear_layer():
    assert Module().shapes(Columns(3), 2) == [(2, 3), (2,)] and isinstance(template(Module().path, 3, 2), nn.Linear)
