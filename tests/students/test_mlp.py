"""The perceptron: hidden units of zero weights stay so, and a module folds the units into its layers."""

import pytest
import torch
from torch import nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.base import ValueTarget
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.sobolev import loss_and_gradients

COLUMNS, OUTPUTS = Columns(3), 2


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights_of(student):
    return student.init_params(COLUMNS, OUTPUTS, torch.Generator().manual_seed(0), torch.float64)


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu", "gelu", "elu"])
@pytest.mark.parametrize("depth", [1, 3])
def test_padded_units_neither_answer_nor_learn(activation, depth):
    narrow, wide = (MLP(width=w, depth=depth, activation=activation) for w in (4, 7))
    own = [w.unsqueeze(0) for w in weights_of(narrow)]
    padded = [torch.zeros(1, *shape, dtype=torch.float64) for shape in wide.shapes(COLUMNS, OUTPUTS)]
    for large, small in zip(padded, own, strict=True):
        large[tuple(slice(n) for n in small.shape)] = small
    x, target = drawn(1, 9, 3), ValueTarget(drawn(1, 9, OUTPUTS, seed=1), torch.full((1, 1, 1), 1 / 9).double())
    found, expected = (loss_and_gradients(s, w, x, COLUMNS, target) for s, w in ((wide, padded), (narrow, own)))
    torch.testing.assert_close(found.answers, expected.answers)
    for large, small in zip(found.gradients, expected.gradients, strict=True):
        inner = tuple(slice(n) for n in small.shape)
        torch.testing.assert_close(large[inner], small)
        assert int(large.count_nonzero()) == int(small.count_nonzero())


def test_a_module_is_linear_layers_and_activations_alone():
    """So that any tool can read it: the units are in the weights."""
    student, weights = MLP(width=4, depth=2, activation="relu"), weights_of(MLP(width=4, depth=2, activation="relu"))
    encoding = Encoding([1e3, 0.0, -2.0], [50.0, 0.1, 1.0])
    shift, spread = torch.tensor([7.0, -1e3]).double(), torch.tensor([0.1, 40.0]).double()
    module = student.module(weights, COLUMNS, encoding, shift, spread)
    assert [type(part) for part in module] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    z = drawn(9, 3)
    x = torch.tensor(encoding.center).double() + z * torch.tensor(encoding.scale).double()
    expected = shift + spread * student.answer([w.unsqueeze(0) for w in weights], z.unsqueeze(0), COLUMNS)[0]
    torch.testing.assert_close(module(x.float()).double(), expected, rtol=1e-5, atol=1e-3)


def test_where_float32_would_round_the_inputs_they_are_scaled_first():
    encoding = Encoding([1e7], [1.0], dtype="float64")
    student = MLP(width=3)
    weights = student.init_params(Columns(1), 1, torch.Generator().manual_seed(0), torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    module = student.module(weights, Columns(1), encoding, 0 * one, one)
    z = torch.tensor([[-0.3], [0.4]], dtype=torch.float64)
    expected = student.answer([w.unsqueeze(0) for w in weights], z.unsqueeze(0), Columns(1))[0]
    torch.testing.assert_close(module(1e7 + z).double(), expected, rtol=1e-5, atol=1e-6)
    assert student.layout(Columns(1), encoding, 1)["encoding"]["dtype"] == "float64"
