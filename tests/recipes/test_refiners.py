"""Refiners: never worse than before, and within the budget of the trial."""

from itertools import pairwise

import pytest
import torch

from dfkd_tune.recipes.base import Fit
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.recipes.refiners import LBFGS, minimize
from dfkd_tune.testing.problems import make_problem, recipe, rng, run
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("kind", SECTIONS["refiner"])
def test_finish_makes_nothing_worse(kind, problem):
    (member,) = run(problem, Member("a", recipe(refiner=SECTIONS["refiner"][kind]()), 0))
    before = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    conclude(problem, member, 0.0)
    after = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    assert after == before if kind == "none" else after < before


@pytest.mark.parametrize("refiner", [LBFGS(), LBFGS(after=0.5, rows=500, rounds=3), LBFGS(after=1.0)])
@pytest.mark.parametrize("begun", [0.0, 0.3, 0.9])
def test_the_optimizers_rows_the_initializers_and_the_banks_are_the_budget(refiner, begun):
    budget = 10**6
    rows = refiner.iterations(budget, begun) * refiner.rows
    left = max(0.0, 1 - refiner.after - begun) * budget
    assert rows == pytest.approx(left, abs=refiner.rows * refiner.rounds)


def test_each_round_has_a_bank_of_its_own_against_the_current_student(problem):
    asked, student = [], recipe().student
    task = Fit(student, problem.columns, 0.0)

    def draw(weights, easy, hard):
        asked.append((weights, easy, hard))
        return problem.pool.z[: easy + hard], problem.pool.values[: easy + hard], None

    start = student.init_params(problem.columns, 1, rng(), torch.float64)
    found = LBFGS(rows=40, synthetic=0.3, rounds=3).refine(task, start, draw, budget=1200)
    assert [(easy, hard) for _, easy, hard in asked] == [(28, 12)] * 3
    seen = [weights[0] for weights, _, _ in asked] + [found[0]]
    assert torch.equal(seen[0], start[0]) and all(not torch.equal(a, b) for a, b in pairwise(seen))


def test_weights_stay_where_the_loss_is_no_number(problem):
    student, z = recipe().student, problem.pool.z[:20]
    weights = student.init_params(problem.columns, 1, rng(), torch.float64)
    bank = (z, problem.pool.values[:20].clone().index_fill(0, torch.tensor([3]), torch.nan), None)
    for before, after in zip(weights, minimize(Fit(student, problem.columns, 0.0), weights, bank, 5, 10), strict=True):
        assert torch.equal(before, after)
