"""Laws of channels that move at unknown speeds: marginals, stationarity, the process of each row, independence."""

import math

import pytest
import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.speeds import Autoregression, speeds
from dfkd_tune.layouts.axes import window_axes
from dfkd_tune.testing.problems import rng

ROWS, STEPS, CHANNELS = 40_000, 6, 2
NEAR = 4 / math.sqrt(ROWS)
"""Four standard errors of a mean of values of variance 1."""
COLUMNS = window_axes(STEPS, CHANNELS, "channels_last", None).columns("channels", "steps")


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(ROWS, STEPS * CHANNELS + 1, generator=rng(), dtype=torch.float64)


@pytest.fixture(scope="module")
def moved(noise) -> Tensor:
    return Autoregression(COLUMNS).of(noise)


def test_every_step_is_standard_normal(moved):
    assert (moved.mean(0).abs() < NEAR).all()
    assert ((moved.square().mean(0) - 1).abs() < math.sqrt(2) * NEAR).all()
    assert ((moved.square().square().mean(0) - 3).abs() < math.sqrt(96) * NEAR).all()


def test_rows_are_processes_of_order_two_at_their_own_speeds(noise, moved):
    """Noise with a variance that the speeds tell, and correlations of successive steps that they tell, from any step."""
    a, b = speeds(noise[:, COLUMNS])
    z = moved[:, COLUMNS]
    told = (a + b) / (1 + a * b)
    for step in range(1, STEPS):
        assert float((z[..., step] * z[..., step - 1] - told).mean()) == pytest.approx(0, abs=2 * NEAR)
    left = (1 - a**2) * (1 - b**2) * (1 - a * b) / (1 + a * b)
    for step in range(2, STEPS):
        rest = (z[..., step] - (a + b) * z[..., step - 1] + a * b * z[..., step - 2]) / left.sqrt()
        assert torch.allclose(rest, noise[:, COLUMNS][..., step], atol=1e-6)


def test_speeds_reach_from_jitter_to_almost_constant_channels(moved):
    """Log-uniform time constants: some windows hardly move, some have no memory."""
    z = moved[:, COLUMNS[0]]
    spread = z.std(1)
    assert float((spread < 0.05).double().mean()) > 0.05
    assert float((spread > 0.7).double().mean()) > 0.05


def test_channels_and_speeds_are_independent_and_other_columns_stay(noise, moved):
    a, _ = speeds(noise[:, COLUMNS])
    fast = (a < a.median()).double()
    assert float(torch.corrcoef(torch.stack([fast[:, 0], fast[:, 1]]))[0, 1]) == pytest.approx(0, abs=NEAR)
    for step in range(STEPS):
        assert float((moved[:, COLUMNS[0, step]] * moved[:, COLUMNS[1, step]]).mean()) == pytest.approx(0, abs=NEAR)
        # a row's speed tells nothing of a single score, nor of a pair
        assert float((noise[:, COLUMNS[0, step]] * (fast[:, 0] - 0.5)).mean()) == pytest.approx(0, abs=NEAR)
    assert torch.equal(moved[:, -1], noise[:, -1])
