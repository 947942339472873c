"""A linear layer, also of every step alike."""

import pytest
import torch
from fused_layers import check, drawn, same
from torch.nn import functional as F

from dfkd_tune.teachers.fused.linear import Linear, every


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("steps", [(), (6,), (2, 3)], ids=["rows", "window", "grid"])
def test_it_is_that_of_torch(steps, outputs):
    layer = Linear(drawn(outputs, 3), drawn(outputs, 1, seed=1))
    check(layer, lambda x: F.linear(x.mT, layer.weight, layer.bias[:, 0]).mT, drawn(*steps, 3, 5, seed=2))


def test_channels_may_be_scaled_in_its_weights_but_not_steps():
    layer, x = Linear(drawn(4, 3), drawn(4, 1, seed=1)), drawn(3, 5, seed=2)
    scale, shift = drawn(4, 1, seed=3), drawn(4, 1, seed=4)
    same(layer.scaled(scale, shift).value(x), shift + scale * layer.value(x))
    assert layer.scaled(scale[..., None], shift[..., None]) is None


def test_a_weight_of_every_step_is_no_copy():
    weight = drawn(4, 3)
    assert (
        every(weight, torch.zeros(6, 3, 5)).shape == (6, 4, 3)
        and every(weight, torch.zeros(6, 3, 5)).data_ptr() == weight.data_ptr()
    )
