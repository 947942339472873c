"""Long short-term memory of fused teachers, against ``torch.nn.LSTM``."""

import pytest
import torch
from fused_layers import check, drawn
from torch import nn

from dfkd_tune.teachers.fused.lstm import LSTM

STEPS, CHANNELS, UNITS = 4, 3, 2


def built(steps=STEPS):
    """A layer of PyTorch and the same fused, from ``(T, C, N)`` to ``(T, H, N)``."""
    torch.manual_seed(0)
    module = nn.LSTM(CHANNELS, UNITS).double().requires_grad_(False)
    layer = LSTM.of([*module.parameters()], steps)
    return layer, lambda x: module(x.mT)[0].mT


@pytest.mark.parametrize("steps", [1, STEPS])
def test_states_and_gradients_are_those_of_torch(steps):
    check(*built(steps), drawn(steps, CHANNELS, 5))


def test_saturated_gates_are_no_trouble():
    check(*built(), 100 * drawn(STEPS, CHANNELS, 5))
