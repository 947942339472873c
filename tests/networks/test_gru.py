"""The recurrent network: that of ``torch.nn.GRU`` with a linear layer on its last state."""

import pytest
import torch
from torch import nn

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.gru import GRUArchitecture

STEPS, CHANNELS, UNITS = 5, 2, 4
WIDTH = STEPS * CHANNELS
ABOUT = GRUArchitecture(Columns(WIDTH, "window", [STEPS, CHANNELS]), Encoding([1.0] * WIDTH, [2.0] * WIDTH), 3, UNITS)


def test_it_is_the_layer_of_torch_on_standardized_windows():
    torch.manual_seed(0)
    network, layer = ABOUT.network().eval(), nn.GRU(CHANNELS, UNITS, batch_first=True)
    layer.load_state_dict(
        {f"{name}_l0": getattr(network, name).detach() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    )
    x = torch.randn(6, WIDTH)
    expected = network.out(layer(((x - 1) / 2).view(6, STEPS, CHANNELS))[0][:, -1])
    torch.testing.assert_close(network(x), expected)


def test_a_state_dict_is_the_whole_network():
    network = ABOUT.network().eval()
    x = torch.randn(6, WIDTH)
    assert torch.equal(ABOUT.module(network.state_dict())(x), network(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("bias_hh"), r"gru needs a tensor bias_hh of shape \(12,\), the file holds weight_ih"),
        (
            lambda state: state.update(weight_hh=torch.zeros(9, 3)),
            r"weight_hh of shape \(12, 4\), the file has \(9, 3\)",
        ),
        (lambda state: state.update(more=torch.zeros(1)), "tensors that no layer uses: more"),
    ],
)
def test_other_tensors_are_told(change, words):
    state = dict(ABOUT.network().state_dict())
    change(state)
    with pytest.raises(ValueError, match=words):
        ABOUT.module(state)


def test_columns_must_be_those_of_the_encoding():
    with pytest.raises(ValueError, match="the encoding makes 2 columns, 10 are arranged"):
        GRUArchitecture(ABOUT.columns, Encoding([0.0] * 2, [1.0] * 2), 3, UNITS)
