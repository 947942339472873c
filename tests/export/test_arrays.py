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


def test_int8_weights_stay_int8():
    found = arrays_of(WeightQuantized(made("mlp"), schema(), "int8"), "--format c")
    assert found.whole and found.arrays["weight_0"].dtype == np.int8 and found.arrays["step_1"].shape == (2,)


def test_other_layers_are_refused():
    for layers in ([], [nn.ReLU()], [nn.Linear(3, 2), nn.Tanh()], [nn.Linear(3, 2), nn.Softplus(), nn.Linear(2, 1)]):
        with fails("--format c", "this student has others", kind=ExportError):
            arrays_of(nn.Sequential(*layers), "--format c")
