"""A budget of teacher rows: it is kept, it is spent evenly, and a result is still the member's alone."""

from dataclasses import replace

import pytest
import torch

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.assistants import Wider
from dfkd_tune.recipes.presets import BLACK_BOX, FAITHFUL
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.testing.problems import Counting, make_problem, network, recipe, run
from dfkd_tune.training.banks import Pool
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import BLOCK, Member
from dfkd_tune.training.population import Population

ROWS = 600
FREE = [name for name, kind in GENERATORS.items() if not kind.needs_gradients]


def asks(name, base=BLACK_BOX, rows: int | None = ROWS, **sections):
    refined = {"refiner": {"kind": "lbfgs", "rows": 200, "after": 0.5}}
    return replace(recipe(base, generator=name, **refined | sections), steps=400, teacher_rows=rows)


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
    wanted = replace(asks(name, base, refiner="none"), steps=60)
    (alone,) = run(problem, Member("a", wanted, 1))
    together = run(
        problem, Member("a", wanted, 1), Member("b", replace(wanted, teacher_rows=None), 2), Member("c", wanted, 3)
    )
    assert all(torch.allclose(x, y, rtol=1e-9) for x, y in zip(alone.weights, together[0].weights, strict=True))
    assert alone.teacher_rows == together[0].teacher_rows


def test_rows_are_spent_at_an_even_pace():
    problem = make_problem()
    member = Member("a", replace(asks("zeroth_order", refiner="none"), steps=4 * BLOCK), 1)
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


def test_the_latest_rows_are_remembered_with_their_answers(monkeypatch):
    monkeypatch.setattr("dfkd_tune.training.member.REPLAYED", 5)
    one = Member("a", recipe(), 0)
    for start in (0.0, 4.0, 8.0):
        z = torch.arange(start, start + 4)[:, None]
        one.remember(z, 10 * z)
    z, values = one.replay(200)
    assert one.drawn == 12 and set(z.flatten().tolist()) == {7.0, 8.0, 9.0, 10.0, 11.0}
    assert torch.equal(values, 10 * z)


def test_half_of_what_is_left_is_affordable_at_what_a_row_has_cost():
    one = Member("a", replace(recipe(), teacher_rows=100), 0)
    assert one.affordable(1000, 1) == 50 and one.affordable(7, 1) == 7 and one.affordable(1000, 5) == 10
    one.teacher_rows, one.drawn = 60, 20  # three queries a row
    assert one.affordable(1000, 1) == 5  # and one for its label
    assert Member("b", recipe(), 0).affordable(1000, 1) == 1000


def test_a_seed_is_all_that_a_beginning_depends_on():
    problem = make_problem()
    members = [Member(key, recipe(generator="adversarial"), seed) for key, seed in (("a", 1), ("b", 1), ("a", 2))]
    for member in members:
        member.begin(problem)
    first, again, other = ([*m.weights, *m.state.values(), m.rng.get_state()] for m in members)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[-1], other[-1])


def test_a_lesson_takes_at_least_one_row_of_a_batch():
    lesson = Pool(torch.zeros(4, 2), torch.zeros(4, 1), None)
    member = Member("any", replace(recipe(), assistant=Wider(share=1e-9)), 0, lesson=lesson)
    assert [member.lesson_share(rows) for rows in (0, 1, 50)] == [0, 1, 1]
