"""A student is the moving average of its weights, where its optimizer says so, and the same in any company."""

import torch

from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member

STEPS = 12


def one(averaging: float, key: str = "a") -> Member:
    chosen = {"kind": "adamw", "lr": 0.01, "weight_decay": 0.1, "averaging": averaging}
    return Member(key, recipe(RANDOM, optimizer=chosen, steps=STEPS), 0)


def test_the_average_is_that_of_the_weights_so_far():
    problem = make_problem()
    member, plain = one(0.9), one(0.0)
    for each in (member, plain):
        each.begin(problem)
    cohort, other = Cohort(problem, [member]), Cohort(problem, [plain])
    expected = cohort.flat.clone()
    for step in range(STEPS):
        cohort.run(1)
        other.run(1)
        expected.lerp_(cohort.flat, 1 - min(0.9, (1 + step) / (10 + step)))
    torch.testing.assert_close(cohort.measured, expected)
    assert torch.equal(cohort.flat, other.flat) and other.measured is other.flat
    cohort.unstack()
    torch.testing.assert_close(torch.cat([part.flatten() for part in member.average]), expected.flatten())


def test_an_average_is_kept_in_company_and_measured():
    problem = make_problem()
    (alone,) = run(problem, one(0.9))
    together, _ = run(problem, one(0.9), one(0.0, "b"))
    for mine, theirs in zip(alone.kept[1], together.kept[1], strict=True):
        torch.testing.assert_close(mine, theirs)
    assert any(not torch.allclose(x, y) for x, y in zip(alone.weights, alone.average, strict=True))
