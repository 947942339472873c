"""A ``.pt2`` file answers any number of rows, keeps names of any letters, and says nothing of this machine."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dfkd_tune.export.formats.pt2 import PT2
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encoding

NAMES = ["load, kg", "température", '"quoted"', "two\nlines"]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).eval()


@pytest.fixture(scope="module")
def data(network) -> bytes:
    return PT2().write(network, InputSchema(NAMES, Encoding([0.0] * 4, [1.0] * 4), torch.randn(9, 4)))


def test_it_answers_any_number_of_rows_by_its_names(network, data):
    read = PT2().read(data, network)
    with torch.no_grad():
        for rows in (torch.randn(n, 4) for n in (1, 2, 300)):
            torch.testing.assert_close(read(rows), network(rows))
    assert PT2().feature_names(data) == NAMES


def test_it_does_not_tell_where_it_was_made(data):
    for trace in (
        b"stack_trace",
        b"site-packages",
        str(Path(torch.__file__).parents[1]).encode(),
        str(Path.home()).encode(),
    ):
        assert trace not in data
