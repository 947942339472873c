"""Heavier tails with the prior's variance, only where no range is declared."""

import math

import pytest
import torch

from dfkd_tune.generators.heavy_tailed import HeavyTailed
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs

ROWS = 100_000
INPUTS = Inputs(
    [Feature(name="plain"), Feature(name="scaled", mean=9.0, std=2.0), Feature(name="ranged", range=[0.0, 1.0])]
)


def rows(spread: float, count: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows, and the prior rows that they come from."""
    item = HeavyTailed(spread=spread)
    return item.block(INPUTS, 1, count, item.engine(3, 0))[0], INPUTS.draw(count, item.engine(3, 0))


def test_without_spread_they_are_prior_rows():
    torch.testing.assert_close(*rows(0.0, 100))


def test_the_variance_stays_and_the_tails_grow():
    z, prior = rows(0.3)
    for column in (0, 1):
        assert float(z[:, column].square().mean()) == pytest.approx(1.0, rel=0.05)
        # 3 for a normal distribution, times the fourth moment of the factors.
        assert float(z[:, column].pow(4).mean()) == pytest.approx(3 * math.exp(8 * 0.3**2), rel=0.25)
    assert torch.equal(z[:, 2], prior[:, 2])


def test_a_row_that_is_far_out_is_so_in_all_coordinates():
    z, _ = rows(0.8)
    sizes = z[:, :2].abs().log()
    assert float(torch.corrcoef(sizes.T)[0, 1]) > 0.2
