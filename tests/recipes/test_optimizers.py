"""Optimizers: one update rule with the coefficients of each, against ``torch.optim``."""

import numpy as np
import pytest
import torch

from dfkd_tune.recipes.optimizers import OPTIMIZERS, Adam, rate_at
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.testing.problems import draws, make_problem, recipe, run
from dfkd_tune.training.member import Member


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizer_is_that_of_torch(kind, schedule, problem):
    name, options = {
        "rmsprop": ("RMSprop", {"alpha": 0.9}),
        "adam": ("Adam", {"betas": (0.8, 0.99)}),
        "adamw": ("AdamW", {"betas": (0.8, 0.99)}),
    }[kind]
    own = {"smoothing": 0.9} if kind == "rmsprop" else {"beta1": 0.8, "beta2": 0.99}
    chosen = {"kind": kind, "lr": 0.01, "weight_decay": 0.01, "schedule": schedule, **own}
    member = Member("a", recipe(RANDOM, optimizer=chosen), 0)
    member.begin(problem)
    index, weights = draws(problem, member), [w.clone().requires_grad_() for w in member.weights]
    optimizer = getattr(torch.optim, name)(weights, lr=0.01, weight_decay=0.01, **options)
    bend = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30) if schedule == "cosine" else None
    for _ in range(30):
        z, values = problem.pool.rows(next(index)[None])
        optimizer.zero_grad()
        (
            member.recipe.student.answer([w[None] for w in weights], z, problem.columns) - values
        ).square().mean().backward()
        optimizer.step()
        if bend:
            bend.step()
    run(problem, member)
    for mine, theirs in zip(member.weights, weights, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-10, atol=1e-12)


def test_a_cosine_starts_at_the_rate_and_falls_to_0():
    rates = rate_at(Adam(lr=0.01, schedule="cosine"), np.arange(101), 100)
    assert rates[0] == 0.01 and rates[50] == pytest.approx(0.005) and rates[100] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(rates) < 0).all()
    assert rate_at(Adam(lr=0.01), 7, 100) == 0.01
