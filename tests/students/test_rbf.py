"""Radial basis functions: the formula, and what holds at a center and far from all of them."""

import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.students.rbf import RBF

COLUMNS, OUTPUTS, WIDTH = Columns(3), 2, 4


def members():
    rng = torch.Generator().manual_seed(0)
    every = [RBF(width=WIDTH).init_params(COLUMNS, OUTPUTS, rng, torch.float64) for _ in range(2)]
    centers, _, out, _ = (torch.stack(layer) for layer in zip(*every, strict=True))
    return [
        centers,
        0.3 * torch.randn(2, WIDTH, generator=rng, dtype=torch.float64),
        out,
        torch.ones(2, OUTPUTS).double(),
    ]


def test_it_is_the_sum_of_bumps():
    weights, x = members(), torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = RBF(width=WIDTH).answer(weights, x, COLUMNS)
    for k, (centers, logs, out, bias) in enumerate(zip(*weights, strict=True)):
        square = torch.cdist(x[k], centers).square()
        expected = torch.exp(-square / (2 * 3 * logs.exp().square())) @ out + bias
        torch.testing.assert_close(found[k], expected, rtol=1e-10, atol=1e-12)


def test_far_out_only_the_bias_is_left_and_nothing_overflows():
    found = RBF(width=WIDTH).answer(members(), torch.full((2, 1, 3), 1e8, dtype=torch.float64), COLUMNS)
    assert torch.equal(found, torch.ones(2, 1, OUTPUTS).double())


def test_rounding_makes_no_distance_negative():
    """A bump at its center far from 0 is 1, not more."""
    one = torch.ones(1, 1, 1)
    weights = [torch.full((1, 1, 3), 3e3), torch.full((1, 1), -9.0), one, 0 * one[0]]
    assert float(RBF(width=1).answer(weights, torch.full((1, 1, 3), 3e3), COLUMNS)) <= 1.0
