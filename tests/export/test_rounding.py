"""int8 weights are whole numbers whose outputs are nearer than those of rounding each weight by itself."""

import pytest
import torch
from small_students import made
from torch import nn

from dfkd_tune.export import rounding
from dfkd_tune.export.rounding import rounded

ROWS = torch.randn(2_000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(depth: int, outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [each for _ in range(depth - 1) for each in (nn.Linear(12, 12), nn.Tanh())]
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), *hidden, nn.Linear(12, outputs)).double()


def error(layers: nn.Module, values, steps, rows) -> float:
    with torch.no_grad():
        wanted = layers(rows)
        gaps = rounding.outputs(layers, values, steps, rows) - wanted
        return float((gaps / wanted.std(0)).square().mean().sqrt())


def recurrent() -> nn.Module:
    """A student over windows, of encoded rows."""
    student = made("gru").double().requires_grad_(False)
    student.encode = nn.Identity()
    return student


@pytest.mark.parametrize("make", [lambda: network(1, 1), lambda: network(2, 1), lambda: network(1, 3), recurrent])
def test_outputs_are_nearer_than_those_of_plain_rounding(make, monkeypatch):
    layers = make()
    width = 6 if isinstance(layers, nn.Sequential) else 13
    rows, fresh = (torch.randn(2_000, width, generator=torch.Generator().manual_seed(i)).double() for i in range(2))
    values, steps = rounded(layers, rows)
    for name, parameter in layers.named_parameters():
        assert (name in steps) == (parameter.ndim > 1) and values[name].shape == parameter.shape
        if name in steps:
            assert torch.equal(values[name], values[name].round()) and float(values[name].abs().max()) <= 127
            assert steps[name].shape == (len(parameter), 1)
    monkeypatch.setattr(rounding, "MOST", 0)  # too many parameters for anything but plain rounding
    plain, _ = rounded(layers, rows)
    exact = dict(layers.named_parameters())
    assert all(torch.equal(plain[name], exact[name]) for name in exact.keys() - steps.keys())
    assert error(layers, values, steps, fresh) < 0.7 * error(layers, plain, steps, fresh)


def test_rows_that_say_nothing_leave_plain_rounding():
    layers = network(1, 1)
    for rows in (ROWS[:1].repeat(10, 1), torch.full((10, 6), torch.nan, dtype=torch.float64)):
        assert all(bool(value.isfinite().all()) for value in rounded(layers, rows)[0].values())


def test_an_output_that_does_not_vary_leaves_the_others_exact(monkeypatch):
    layers = network(1, 2)
    with torch.no_grad():
        layers[-1].weight[1] = 0.0
    values, steps = rounded(layers, ROWS)
    monkeypatch.setattr(rounding, "MOST", 0)
    plain, _ = rounded(layers, ROWS)
    with torch.no_grad():
        wanted = layers(ROWS)[:, 0]
        moved, nearest = (
            float((rounding.outputs(layers, each, steps, ROWS)[:, 0] - wanted).square().mean())
            for each in (values, plain)
        )
    assert moved < 0.5 * nearest
