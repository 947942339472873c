"""Skewed rows: as wide as the prior, with their tails on the right, and together where a factor is shared."""

import math

import pytest
import torch

from dfkd_tune.generators.skewed import TOGETHER, Skewed
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs

ROWS = 40_000
PLAIN = Feature(name="plain")
SCALED = Feature(name="scaled", mean=1e4, std=3e-2)
RANGED = Feature(name="ranged", range=[-2.0, 6.0])


@pytest.mark.parametrize("spread", [0.3, 0.7])
def test_skewed_rows_are_as_wide_as_the_prior_with_their_tail_on_the_right(spread):
    generator, inputs = Skewed(spread=spread), Inputs([PLAIN, SCALED, RANGED])
    z = generator.block(inputs, 1, 4 * ROWS, generator.engine(3, 1))[0]
    prior = inputs.draw(4 * ROWS, generator.engine(3, 1))
    assert torch.equal(z[:, 2], prior[:, 2])  # its tails are declared
    for column in z[:, :2].T:
        assert column.mean() == pytest.approx(0, abs=0.02) and column.std() == pytest.approx(1, abs=0.05)
        skewness = (math.exp(spread**2) + 2) * math.sqrt(math.expm1(spread**2))
        assert column.pow(3).mean() == pytest.approx(skewness, rel=0.3)


def test_skewed_rows_come_near_the_prior_as_their_spread_vanishes():
    generator, inputs = Skewed(spread=1e-6), Inputs([PLAIN])
    prior = inputs.draw(1000, generator.engine(1, 1))
    torch.testing.assert_close(generator.block(inputs, 1, 1000, generator.engine(1, 1))[0], prior, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shared", [0.3, 0.8])
def test_coordinates_of_skewed_rows_follow_a_factor_either_way(shared):
    """By the logarithm, which is normal again: rows drawn together correlate by what is shared, all rows by nothing."""
    generator, inputs = Skewed(spread=0.5, shared=shared), Inputs([PLAIN, Feature(name="other"), RANGED])
    z = generator.block(inputs, 1, 400 * TOGETHER, generator.engine(3, 1))[0]
    mean, std = math.exp(0.125), math.exp(0.125) * math.sqrt(math.expm1(0.25))
    logs = (z[:, :2] * std + mean).log() / 0.5
    torch.testing.assert_close(logs.std(0), torch.ones(2, dtype=logs.dtype), atol=0.05, rtol=0)
    among = torch.stack([torch.corrcoef(part.T)[0, 1] for part in logs.split(TOGETHER)])
    assert float(among.abs().mean()) == pytest.approx(shared, abs=0.05)
    assert float(torch.corrcoef(logs.T)[0, 1]) == pytest.approx(0, abs=0.1)
    assert 0.3 < float((among > 0).double().mean()) < 0.7
    assert abs(float(torch.corrcoef(z[:, [0, 2]].T)[0, 1])) < 0.05  # its tails are declared
