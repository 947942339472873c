"""Convolutions over windows, against ``torch.nn.Conv1d`` with every setting."""

import pytest
from fused_layers import check, drawn, rows_first, same
from torch.nn import functional as F

from dfkd_tune.teachers.fused.convolution import Convolution
from dfkd_tune.teachers.fused.views import Select, Slice

X = drawn(3, 9, 5)
"""Channels, steps, rows."""
SETTINGS = [
    {},
    {"stride": 2},
    {"padding": 2},
    {"dilation": 3},
    {"stride": 2, "padding": 3, "dilation": 2},
    {"padding": 9},
    {"stride": 4, "padding": 1},
]


def made(depthwise: bool = False, kernel: int = 3, **settings):
    outputs = 3 if depthwise else 4
    weight, bias = drawn(outputs, 1 if depthwise else 3, kernel, seed=1), drawn(outputs, seed=2)
    layer = Convolution(weight.permute(2, 0, 1).contiguous(), bias[:, None], depthwise=depthwise, **settings)
    groups = 3 if depthwise else 1
    return layer, rows_first(lambda x: F.conv1d(x, weight, bias, groups=groups, **settings))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_it_is_that_of_torch(depthwise, kernel, settings):
    check(*made(depthwise, kernel, **settings), X)


@pytest.mark.parametrize("depthwise", [False, True])
def test_channels_may_be_scaled_in_its_weights(depthwise):
    layer, _ = made(depthwise, padding=1)
    scale, shift = (drawn(3 if depthwise else 4, 1, 1, seed=i) for i in (3, 4))
    same(layer.scaled(scale, shift).value(X), shift + scale * layer.value(X))


def test_steps_that_are_cut_off_are_not_made():
    layer, function = made(padding=2)  # causal, with two steps too many
    cut = Slice(1, 0, 9)
    shorter, users = layer.without_unused([cut, cut])
    assert users == [None, None]
    check(shorter, lambda x: function(x)[:, :9], X)
    assert layer.without_unused([cut, Slice(1, 0, 8)]) is None  # one of them needs more
    assert layer.without_unused([Slice(1, 1, 9)]) is None and layer.without_unused([Select(1, 8)]) is None
