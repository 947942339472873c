"""Losses: what it means to match input gradients."""

import torch

from dfkd_tune.recipes.losses import Sobolev
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.member import Member


def test_a_weight_of_0_is_the_plain_loss_and_any_other_is_not():
    problem = make_problem()
    plain, nothing, some = (
        run(problem, Member("a", recipe(loss=loss), 0))[0].weights for loss in ("mse", Sobolev(0.0), Sobolev(0.5))
    )
    for one, other in zip(plain, nothing, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(plain[0], some[0], rtol=1e-3)
