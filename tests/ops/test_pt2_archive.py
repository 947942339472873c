"""Archives of networks: any number of rows, nothing of the machine that wrote them, and no noise."""

import io
import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from dfkd_tune.ops.pt2_archive import TRACER, call_to_pt2, free_batch, to_pt2


class Network(nn.Module):
    """A network that is defined in this file."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return torch.tanh(self.layer(x))


class Keyed(Network):
    """One that takes a keyword as well."""

    def forward(self, x, *, scale):
        return scale[:, None] * super().forward(x)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def archive(network):
    return to_pt2(network, torch.randn(2, 3), {"about.json": "{}"})


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_any_number_of_rows_is_answered(network, archive, rows):
    x = torch.randn(rows, 3)
    torch.testing.assert_close(torch.export.load(io.BytesIO(archive)).module()(x), network(x))


def test_further_files_come_back(archive):
    extra = {"about.json": ""}
    torch.export.load(io.BytesIO(archive), extra_files=extra)
    assert extra == {"about.json": "{}"}


def test_no_path_of_this_machine_is_in_it(archive):
    assert Path(__file__).name.encode() not in archive and str(Path(torch.__file__).parent).encode() not in archive


def test_keywords_stay_keywords():
    module = Keyed().eval()
    free, x, scale = free_batch(), torch.randn(2, 3), torch.randn(2)
    data = call_to_pt2(module, (x,), {"scale": scale}, {"x": free, "scale": free})
    x, scale = torch.randn(5, 3), torch.randn(5)
    torch.testing.assert_close(torch.export.load(io.BytesIO(data)).module()(x, scale=scale), module(x, scale=scale))


def test_a_network_that_cannot_be_traced_says_so_once(capfd):
    """By its exception: PyTorch's tracer logs the stack as well."""
    with pytest.raises(Exception, match="must have same reduction dim"):
        to_pt2(nn.Linear(4, 1), torch.randn(2, 3))
    assert capfd.readouterr().err == "" and logging.getLogger(TRACER).level == logging.NOTSET
