"""A budget of teacher rows: it is kept, it is spent evenly, and a result is still the member's alone."""

from dataclasses import replace

import pytest
import torch

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.presets import BLACK_BOX, FAITHFUL
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.testing.problems import Counting, make_problem, network, recipe, run
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import BLOCK, Member
from dfkd_tune.training.population import Population

ROWS = 600
FREE = [name for name, kind in GENERATORS.items() if not kind.needs_gradients]


def asks(name, base=BLACK_BOX, rows: int | None = ROWS, **sections):
    finish = {"finish": {"kind": "lbfgs", "rows": 200, "after": 0.5}}
    return replace(recipe(base, generator=name, **finish | sections), steps=400, teacher_rows=rows)


@pytest.mark.parametrize("name", FREE)
def test_a_budget_is_kept_but_for_one_draw(name):
    teacher = Counting(network())
    problem = make_problem(teacher)
    problem.probe = replace(problem.probe, differentiable=False)
    unbound, bound = (distill(problem, asks(name, rows=rows), 1) for rows in (None, ROWS))
    once = {"evolution": 700, "zeroth_order": 6 * 9}.get(name, 6)
    assert bound.teacher_rows <= ROWS + once
    assert bound.teacher_rows < unbound.teacher_rows or unbound.teacher_rows <= ROWS
    if unbound.teacher_rows > 4 * ROWS:
        assert bound.teacher_rows > ROWS / 4  # and it is spent
    assert bound.failure is None


@pytest.mark.parametrize("name", ["zeroth_order", "heavy_tailed", "direct"])
def test_a_member_on_a_budget_is_the_same_in_company(name):
    base = FAITHFUL if name == "direct" else BLACK_BOX
    problem = make_problem()
    wanted = replace(asks(name, base, finish="none"), steps=60)
    (alone,) = run(problem, Member("a", wanted, 1))
    together = run(
        problem, Member("a", wanted, 1), Member("b", replace(wanted, teacher_rows=None), 2), Member("c", wanted, 3)
    )
    assert all(torch.allclose(x, y, rtol=1e-9) for x, y in zip(alone.weights, together[0].weights, strict=True))
    assert alone.teacher_rows == together[0].teacher_rows


def test_rows_are_spent_at_an_even_pace():
    problem = make_problem()
    member = Member("a", replace(asks("zeroth_order", finish="none"), steps=4 * BLOCK), 1)
    spent, population = [], Population(problem)
    population.admit(member)
    while not member.finished:
        population.advance()
        spent.append(member.teacher_rows / ROWS - member.clock / member.steps)
    assert max(map(abs, spent)) < 0.15


def test_a_recipe_says_its_budget_only_where_there_is_one():
    assert "teacher_rows" not in asks("direct", rows=None).leaves()
    assert from_tree(asks("direct").tree()).teacher_rows == ROWS


def test_a_budget_that_a_loss_would_break_is_refused(tiny):
    with pytest.raises(SpecError, match=r"budget\.teacher_rows: cannot be kept with loss\.kind sobolev"):
        tiny("slow", budget={"teacher_rows": 100, "pool": 10**8 // 4}, preset="faithful", search={})
