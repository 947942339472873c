"""Derivatives by autograd equal those that are written by hand, and a network is wrapped in raw units."""

import pytest
import torch
from torch import nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.autograd import AutogradStudent, Raw
from dfkd_tune.students.base import SobolevTarget
from dfkd_tune.students.mlp import MLP

COLUMNS, OUTPUTS = Columns(4), 2
BY_HAND = MLP(width=5)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Same(AutogradStudent):
    """The perceptron, of which only the outputs are written."""

    def shapes(self, columns, outputs):
        return BY_HAND.shapes(columns, outputs)

    def structure(self):
        return ("same",)

    def init_params(self, columns, outputs, rng, dtype):
        return BY_HAND.init_params(columns, outputs, rng, dtype)

    def answer(self, weights, x, columns):
        first, bias, out, shift = weights
        return torch.tanh(x @ first + bias.unsqueeze(1)) @ out + shift.unsqueeze(1)

    def module(self, weights, columns, encoding, shift, spread):
        return BY_HAND.module(weights, columns, encoding, shift, spread)


@pytest.fixture
def weights():
    rng = torch.Generator().manual_seed(0)
    every = [BY_HAND.init_params(COLUMNS, OUTPUTS, rng, torch.float64) for _ in range(3)]
    return [torch.stack(layer) for layer in zip(*every, strict=True)]


def test_gradients_are_those_by_hand(weights):
    x, gradient = drawn(3, 7, 4), drawn(3, 7, OUTPUTS, seed=1)
    found = []
    for student in (Same(), BY_HAND):
        answers, tape = student.forward_with_tape(weights, x, COLUMNS)
        pulled = student.input_gradients(weights, tape, gradient.clone())
        found.append([answers, pulled, *student.weight_gradients(weights, tape, gradient.clone())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_the_sobolev_loss_is_that_by_hand(weights):
    one = torch.tensor([0.0, 0.5, 2.0]).double().view(3, 1, 1)
    target = SobolevTarget(
        drawn(3, 7, OUTPUTS, seed=1), drawn(3, 7, OUTPUTS, 4, seed=2), drawn(3, 7, 1, seed=3).abs(), one
    )
    mine, theirs = (
        student.loss_and_gradients(weights, drawn(3, 7, 4), COLUMNS, target) for student in (Same(), BY_HAND)
    )
    torch.testing.assert_close(mine.loss(), theirs.loss(), rtol=1e-10, atol=1e-12)
    for one, other in zip(mine.gradients, theirs.gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weights_keep_no_graph(weights):
    """Thousands of steps would otherwise hang together."""
    answers, _ = Same().forward_with_tape([w.requires_grad_() for w in weights], drawn(3, 7, 4), COLUMNS)
    assert not answers.requires_grad and all(w.grad is None for w in weights)


def test_a_wrapped_network_takes_and_returns_raw_units():
    inner = nn.Linear(2, 1)
    raw = Raw(inner, Encoding([10.0, 0.0], [2.0, 5.0]), torch.tensor([3.0]).double(), torch.tensor([4.0]).double())
    x = torch.tensor([[12.0, -5.0]])
    torch.testing.assert_close(raw(x), 3 + 4 * inner(torch.tensor([[1.0, -1.0]])))
    assert {*raw.state_dict()} == {"shift", "spread", "inner.weight", "inner.bias"}
