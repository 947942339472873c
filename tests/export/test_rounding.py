"""int8 weights are whole numbers whose outputs are nearer than those of rounding each weight by itself."""

import pytest
import torch
from torch import nn

from dfkd_tune.export import rounding
from dfkd_tune.export.rounding import rounded

ROWS = torch.randn(2_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FRESH = torch.randn(2_000, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def network(depth: int, outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [each for _ in range(depth - 1) for each in (nn.Linear(12, 12), nn.Tanh())]
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), *hidden, nn.Linear(12, outputs)).double()


def error(layers: nn.Sequential, held) -> float:
    with torch.no_grad():
        wanted = layers(FRESH)
        return float(((rounding._outputs(layers, held, FRESH) - wanted) / wanted.std(0)).square().mean().sqrt())


@pytest.mark.parametrize("depth, outputs", [(1, 1), (2, 1), (1, 3)])
def test_outputs_are_nearer_than_those_of_plain_rounding(depth, outputs, monkeypatch):
    layers = network(depth, outputs)
    found = rounded(layers, ROWS)
    for (whole, step, _), layer in zip(found, layers[::2], strict=True):
        assert bool((whole == whole.round()).all()) and float(whole.abs().max()) <= 127
        assert step.shape == (len(layer.weight), 1)
    monkeypatch.setattr(rounding, "MOST", 0)  # too many parameters for anything but plain rounding
    plain = rounded(layers, ROWS)
    assert all(torch.equal(bias, layer.bias.detach()) for (*_, bias), layer in zip(plain, layers[::2], strict=True))
    assert error(layers, found) < 0.7 * error(layers, plain)


def test_rows_that_say_nothing_leave_plain_rounding():
    layers = network(1, 1)
    for rows in (ROWS[:1].repeat(10, 1), torch.full((10, 6), torch.nan, dtype=torch.float64)):
        assert all(bool(whole.isfinite().all()) for whole, *_ in rounded(layers, rows))
