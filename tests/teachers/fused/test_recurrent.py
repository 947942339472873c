"""What recurrent layers share: only the last state is made where only it is taken."""

from dataclasses import replace

import pytest
import torch
from fused_layers import drawn, same
from torch import nn

from dfkd_tune.teachers.fused.gru import GRU
from dfkd_tune.teachers.fused.lstm import LSTM
from dfkd_tune.teachers.fused.recurrent import backward_sigmoid, blocks
from dfkd_tune.teachers.fused.views import Select, Slice

STEPS, CHANNELS, UNITS = 4, 3, 2


@pytest.fixture(params=[(nn.GRU, GRU), (nn.LSTM, LSTM)], ids=["gru", "lstm"])
def layer(request):
    torch.manual_seed(0)
    kind, fused = request.param
    return fused.of([*kind(CHANNELS, UNITS).double().requires_grad_(False).parameters()], STEPS)


def test_the_last_state_alone_is_that_of_all(layer):
    (last, users), x = (
        layer.without_unused([Select(0, STEPS - 1), Slice(0, STEPS - 1, STEPS)]),
        drawn(STEPS, CHANNELS, 5),
    )
    assert last == replace(layer, last=True) and users == [Select(0, 0), None]
    same(last.value(x), layer.value(x)[-1:])
    gradient = drawn(1, UNITS, 5, seed=1)
    whole = torch.cat([torch.zeros(STEPS - 1, UNITS, 5).double(), gradient])
    same(last.vjp(x)[1](gradient)[0], layer.vjp(x)[1](whole)[0])


@pytest.mark.parametrize(
    "users", [[], [Select(0, STEPS - 2)], [Select(0, STEPS - 1), Slice(0, 0, STEPS)], [Select(1, STEPS - 1)]]
)
def test_all_states_are_made_where_any_other_is_taken(layer, users):
    assert layer.without_unused(users) is None and replace(layer, last=True).without_unused([Select(0, 0)]) is None


def test_a_bias_is_a_channel_of_ones(layer):
    windows = layer.windows(drawn(STEPS, CHANNELS, 5))
    assert windows.shape == (STEPS, CHANNELS + 1, 5) and (windows[:, -1] == 1).all()


def test_blocks_are_views_of_their_buffer():
    buffers = torch.zeros(2, 3 * UNITS, 5)
    for step, (whole, first, rest) in enumerate(blocks(buffers, UNITS, ((0, 1), (1, 3)))):
        first.fill_(step + 1)
        rest.fill_(-1)
        assert whole.sum() == 5 * UNITS * (step + 1 - 2)
    assert buffers.count_nonzero() == buffers.numel()


def test_the_gradient_of_a_sigmoid():
    z = drawn(6).requires_grad_()
    value, gradient = torch.sigmoid(z), drawn(6, seed=1)
    (expected,) = torch.autograd.grad(value, z, gradient)
    same(backward_sigmoid(gradient, value.detach(), torch.empty_like(gradient)), expected)
