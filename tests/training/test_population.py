"""The population rule: a member of a population is the same recipe alone."""

import re
from functools import partial

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.recipes.presets import FAITHFUL, RANDOM
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.testing.problems import FEATURES, KNOWN, Counting, finish, make_problem, network, recipe, run, variants
from dfkd_tune.training.distill import conclude, distill, distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population, fidelity

short = partial(recipe, steps=15)
MIXED = [
    *(short(generator=kind) for kind in SECTIONS["generator"] for _ in range(2)),  # an early and a late member each
    *(short(**{name: item}) for name, kinds in SECTIONS.items() for kind in kinds.values() for item in variants(kind)),
    *(short(alpha={"kind": "constant", "value": value}) for value in (0.0, 0.3, 1.0)),
    *(short(student={"width": width, "depth": depth}) for width, depth in ((1, 1), (9, 1), (5, 2), (8, 2))),
    *(short(steps=steps) for steps in (7, 53, 110)),
    short(batch=20),
    short(optimizer={"lr": 0.01}),
    short(generator={"steps": 3, "step_size": 0.02}),
    short(bound={"kind": "clip", "threshold": 0.1}, input_bound={"kind": "linf", "radius": 0.4}),
]


def members(recipes=MIXED):
    return [Member(k, one, seed=100 + k) for k, one in enumerate(recipes)]


def keys(population):
    return [member.key for member in population.members]


def step(population, times):
    """Advance; whoever is finished leaves."""
    for _ in range(times):
        for member in population.advance():
            if member.finished:
                population.release(member.key)


def assert_same(member, alone):
    assert (member.clock, member.failure, member.teacher_rows) == (alone.clock, alone.failure, alone.teacher_rows)
    assert [at for at, _ in member.curve] == [at for at, _ in alone.curve]
    assert [value for _, value in member.curve] == pytest.approx([value for _, value in alone.curve], rel=1e-9)
    for mine, theirs in zip(member.weights + member.result(), alone.weights + alone.result(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    assert torch.equal(member.rng.get_state(), alone.rng.get_state())


@pytest.fixture(scope="module", params=["outputs", "inputs", "chain"])
def setting(request):
    """A problem, and every mixed recipe run alone in it."""
    problem = {
        "outputs": lambda: make_problem(outputs=2),
        "inputs": lambda: make_problem(inputs=KNOWN),
        "chain": lambda: make_problem(inputs=KNOWN, quick=True),
    }[request.param]()
    return problem, [run(problem, member)[0] for member in members()]


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def test_member_of_a_mixed_population_is_its_recipe_alone(setting):
    """In whatever order they come."""
    problem, alone = setting
    every, order = members(), torch.randperm(len(MIXED), generator=torch.Generator().manual_seed(0)).tolist()
    for member in run(problem, *(every[k] for k in order)):
        assert_same(member, alone[member.key])


def test_companions_may_come_leave_and_return(setting):
    problem, alone = setting
    every, population = members(), Population(problem)
    for member in every[::2]:
        population.admit(member)
    step(population, 2)
    for member in every[1::2]:  # while the others are on their way
        population.admit(member)
    step(population, 3)
    dropped = [population.release(key).key for key in keys(population)[::4]]
    step(population, 2)
    resting = [population.release(key) for key in keys(population)[::3]]
    step(population, 5)
    for member in resting:
        population.admit(member)
    finish(population)
    assert len(dropped) > 5 and len(resting) > 5
    for member in every:
        if member.key in dropped:
            assert 0 < member.clock < member.recipe.steps
        else:
            assert_same(member, alone[member.key])


def test_students_distilled_at_once_are_those_distilled_alone(setting):
    """Finished by their recipes and judged, in the order in which they were given."""
    problem, _ = setting
    given = [recipe(FAITHFUL), *MIXED[::6], recipe(optimizer={"lr": 1e200}), recipe(FAITHFUL, steps=70)]
    rungs = []
    together = distill_all(problem, members(given), rungs.append)
    assert {member.key for member in rungs} == {*range(len(given))}
    assert {outcome.failure is None for outcome in together} == {True, False}
    for member, outcome in zip(members(given), together, strict=True):
        alone = distill(problem, member.recipe, member.seed)
        assert (outcome.recipe, outcome.seed, outcome.failure) == (alone.recipe, alone.seed, alone.failure)
        assert outcome.teacher_rows == alone.teacher_rows
        assert [at for at, _ in outcome.curve] == [at for at, _ in alone.curve]
        if alone.failure is None:
            assert outcome.selection.rmse == pytest.approx(alone.selection.rmse, rel=1e-6)
            assert outcome.seconds > 0
            for mine, theirs in zip(outcome.weights, alone.weights, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)


def test_width_is_padded_without_a_trace(problem):
    """Each width ends where it does alone, next to a much wider student."""
    for activation in ACTIVATIONS:
        narrow, wide = (recipe(student={"width": w, "depth": 2, "activation": activation}) for w in (2, 17))
        alone, together = (
            run(problem, Member("a", narrow, 1))[0],
            run(problem, Member("a", narrow, 1), Member("b", wide, 2)),
        )
        assert_same(together[0], alone)
        assert [tuple(w.shape) for w in together[0].weights] == narrow.student.shapes(Columns(FEATURES), 1)


@pytest.mark.parametrize("generator", SECTIONS["generator"])
def test_divergence_stays_in_its_own_row(generator):
    """In the same arithmetic, so that not one bit may differ: the diverged member is kept on board to the end."""
    problem = make_problem(inputs=KNOWN)
    calm, wild = (recipe(generator=generator, steps=20, optimizer={"lr": lr}) for lr in (1e-3, 1e200))
    groups = [members([calm, middle, calm]) for middle in (calm, wild)]
    for plan in groups:
        population = Population(problem)
        for member in plan:
            population.admit(member)
        while plan[0].clock < calm.steps:
            population.advance()
        for member in plan:
            population.release(member.key)
    for mine, theirs in zip(*groups, strict=True):
        if theirs.key != 1:
            assert theirs.failure is None and mine.curve == theirs.curve
            assert all(map(torch.equal, mine.weights, theirs.weights))
    lost = groups[1][1]
    assert lost.finished and re.fullmatch(r"diverged: the RMSE is (inf|nan) at step \d+", lost.failure)
    outcome = conclude(problem, lost, 1.0)
    assert outcome.failure == lost.failure and outcome.selection is None and "rmse" not in outcome.metrics()


def test_diverged_member_leaves_at_once(problem):
    calm, wild = run(problem, *members([recipe(), recipe(optimizer={"lr": 1e200})]))
    assert calm.failure is None and wild.failure is not None and wild.clock == wild.curve[-1][0] < wild.recipe.steps
    assert_same(calm, run(problem, *members([recipe()]))[0])


def test_seed_decides(problem):
    first, again, different = (run(problem, Member("a", recipe(), seed))[0] for seed in (5, 5, 6))
    assert first.curve == again.curve and all(map(torch.equal, first.weights, again.weights))
    assert first.curve != different.curve


@pytest.mark.parametrize("outputs", [1, 3])
def test_result_is_the_rung_of_the_lowest_nrmse(outputs):
    problem = make_problem(outputs=outputs)
    member, population, rungs = (
        Member("a", recipe(RANDOM, optimizer={"lr": 0.03}, steps=200), 1),
        Population(problem),
        [],
    )
    while not member.finished:
        population.admit(member)
        population.advance()
        population.release("a")
        rungs.append((fidelity(problem, member.recipe, member.weights, problem.banks["pruning"]), member.weights))
    assert [found.rmse for found, _ in rungs] == pytest.approx([value for _, value in member.curve], rel=1e-12)
    best = min(range(len(rungs)), key=lambda i: rungs[i][0].nrmse)
    assert best < len(rungs) - 1, "the case tells nothing when the last rung is the best"
    assert all(map(torch.equal, member.result(), rungs[best][1]))
    if outputs > 1:
        assert best != min(range(len(rungs)), key=lambda i: rungs[i][0].rmse), "nor when both scores agree"


def test_teacher_rows_are_those_it_answered():
    counting = Counting(network())
    problem = make_problem(counting)
    alphas = ("decreasing", {"kind": "constant", "value": 1.0})
    for one in [recipe(generator=kind, alpha=alpha) for kind in SECTIONS["generator"] for alpha in alphas]:
        before = counting.rows
        (member,) = run(problem, Member("a", one, 0))
        assert member.teacher_rows == counting.rows - before


@pytest.mark.parametrize(
    "one", [RANDOM, recipe(alpha={"kind": "constant", "value": 0.0}), recipe(generator="gaussian")]
)
def test_prior_rows_cost_no_teacher_pass(one):
    counting = Counting(network())
    problem = make_problem(counting)
    before = counting.rows
    (member,) = run(problem, Member("a", recipe(one), 0))
    assert counting.rows == before and member.teacher_rows == 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("generator", ["gaussian", "direct"])
def test_linear_teacher_is_recovered(activation, generator):
    problem = make_problem(lambda x: x @ x.new_tensor([1.0, -2.0, 0.5, 3.0]) + 4.0)
    optimizer = {"kind": "adam", "lr": 0.02, "schedule": "cosine"}
    student = {"activation": activation, "width": 32}
    one = recipe(generator=generator, optimizer=optimizer, student=student, steps=400, batch=64)
    member = Member("a", one, 0)
    member.begin(problem)
    before = fidelity(problem, one, member.weights, problem.banks["selection"]).nrmse
    (member,) = run(problem, member)
    after = fidelity(problem, one, member.result(), problem.banks["selection"]).nrmse
    assert after < before / 10
