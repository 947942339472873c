"""Activations of fused teachers: values and gradients of PyTorch, also in the memory of their input."""

from dataclasses import replace

import pytest
import torch
from fused_layers import check, drawn
from torch.nn import functional as F

from dfkd_tune.teachers.fused.activations import FUNCTIONS, Activation

Z = torch.cat([3 * drawn(4, 5), torch.tensor([[-50.0, -20.0, 0.5, 20.0, 50.0]]).double()])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_torch(name):
    check(Activation(name), getattr(F, name), Z)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_place_is_the_same_in_the_memory_of_the_input(name):
    layer = Activation(name).overwriting()
    if layer is None:  # its gradient reads the input
        assert FUNCTIONS[name].in_place is None
        return
    assert layer == replace(Activation(name), in_place=True)
    check(layer, getattr(F, name), Z)
    z = Z.clone()
    assert layer.value(z).data_ptr() == z.data_ptr()
