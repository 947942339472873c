"""When a student is evaluated: at even shares of its budget, once a rung, and at its last step."""

from dataclasses import replace

import pytest

from dfkd_tune.recipes.initializers import Neurons
from dfkd_tune.recipes.presets import FAITHFUL, RANDOM
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.rungs import RUNGS


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def test_rungs_are_shares_of_the_budget_whoever_spends_it(problem):
    """A start and a finish that train take theirs: trials are compared where they spent as much."""
    plain = recipe(RANDOM, steps=200)
    finished = replace(plain, refiner=replace(FAITHFUL.refiner, after=0.25))
    recipes = {"plain": plain, "finished": finished, "both": replace(finished, initializer=Neurons(surplus=0.5))}
    members = {name: Member(name, one, 0) for name, one in recipes.items()}
    rungs: dict[str, list[tuple[int, int]]] = {name: [] for name in members}
    distill_all(problem, list(members.values()), lambda member: rungs[member.key].append((member.clock, member.rung)))
    assert rungs["plain"] == [(10 * rung, rung) for rung in range(1, 21)]
    assert rungs["finished"] == rungs["plain"][:5]
    assert rungs["both"] == [(10 * i, 6 + i) for i in range(1, 6)]
    assert [member.spent for member in members.values()] == [True, False, False]


@pytest.mark.parametrize("steps", [1, 7, 20, 21, 113, 390])
@pytest.mark.parametrize("after", [1.0, 0.37, 0.02])
def test_no_two_looks_are_at_one_rung(steps, after):
    member = Member("a", recipe(RANDOM, steps=steps, refiner={"kind": "lbfgs", "after": after}), 0)
    seen = []
    while not member.finished:
        member.clock = member.next_rung
        seen.append(member.rung)
    assert seen == sorted(set(seen)) and seen[-1] <= min(RUNGS, steps)


@pytest.mark.parametrize("steps", [1, 7, 19, 20, 21, 130])
def test_rungs_end_with_the_run(problem, steps):
    clocks = [at for at, _ in run(problem, Member("a", recipe(RANDOM, steps=steps), 0))[0].curve]
    assert clocks == sorted(set(clocks)) and len(clocks) == min(RUNGS, steps) and clocks[-1] == steps
    gaps = {b - a for a, b in zip([0, *clocks], clocks, strict=False)}
    assert max(gaps) - min(gaps) <= 1
