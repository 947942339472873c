"""The coefficients of steps: those of every step by itself, whatever portion they are made in."""

import torch

from dfkd_tune.testing.problems import recipe
from dfkd_tune.training.member import Member
from dfkd_tune.training.stepping.schedules import schedules

LIKE = torch.zeros(1, dtype=torch.float64)


def members(clock):
    chosen = [
        recipe(steps=40, optimizer={"kind": "adam", "lr": 0.1, "schedule": "cosine"}),
        recipe(steps=40, optimizer={"kind": "adamw", "lr": 0.01, "weight_decay": 0.5, "averaging": 0.9}),
    ]
    return [Member(k, one, k, clock=clock) for k, one in enumerate(chosen)]


def test_a_later_portion_is_the_rest_of_an_earlier_one():
    whole, late = (schedules(members(clock), 10, 40 - clock, LIKE) for clock in (0, 15))
    for one, other in zip(whole, late, strict=True):
        torch.testing.assert_close(one[15:], other, rtol=0, atol=0)


def test_weights_of_a_batch_sum_to_one_and_a_decay_shrinks():
    share, _, _, shrink, fresh = schedules(members(0), 10, 40, LIKE)
    torch.testing.assert_close(share.sum(-1) * 5, torch.ones(40, 2, dtype=torch.float64))
    assert (shrink[:, 0] == 1).all() and torch.allclose(shrink[:, 1], torch.tensor(1 - 0.01 * 0.5, dtype=torch.float64))
    assert (fresh[:, 0] == 1).all()
    torch.testing.assert_close(fresh[-1, 1].item(), 1 - 40 / 49)
