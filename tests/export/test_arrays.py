"""Networks as arrays: those of a known architecture, and no others."""

import numpy as np
import pytest
from asked import fails
from small_students import made, schema
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.arrays import arrays_of
from dfkd_tune.export.quantization import WeightQuantized


@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_arrays_are_all_parameters(kind):
    network = made(kind)
    found = arrays_of(network, "--format c")
    assert found.kind == kind and not found.whole
    assert sum(each.size for each in found.arrays.values()) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_int8_weights_stay_int8(kind):
    network = made(kind)
    plain, found = (arrays_of(each, "--format c") for each in (network, WeightQuantized(network, schema(), "int8")))
    assert found.whole and (found.kind, found.activation) == (plain.kind, plain.activation)
    assert (found.shape is None) == (plain.shape is None)
    for name, value in plain.arrays.items():
        small = found.arrays[name]
        assert small.shape == value.shape and small.dtype == (np.int8 if value.ndim > 1 else np.float32)
        if value.ndim > 1:
            assert found.arrays[f"{name}_step"].shape == (len(value), *[1] * (value.ndim - 1))


def test_bfloat16_weights_are_read_as_float32():
    found = arrays_of(WeightQuantized(made("gru"), schema(), "bf16"), "--format c")
    assert not found.whole and {each.dtype for each in found.arrays.values()} == {np.dtype(np.float32)}


def test_other_layers_are_refused():
    for layers in ([], [nn.ReLU()], [nn.Linear(3, 2), nn.Tanh()], [nn.Linear(3, 2), nn.Softplus(), nn.Linear(2, 1)]):
        with fails("--format c", "this student has others", kind=ExportError):
            arrays_of(nn.Sequential(*layers), "--format c")
