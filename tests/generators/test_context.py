"""What a generator is given: gradients of the objective, counted queries, and the bounds and streams of each member."""

import pytest
import torch
from generator_contexts import FEATURES, ROWS, context, drawn, student, teacher

from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.recipes.gap_bounds import Clip, Target, Unbounded
from dfkd_tune.recipes.input_bounds import L2, Linf, Steps
from dfkd_tune.utils.strategy import Stacked

GAMMA = torch.tensor([0.1, 0.3], dtype=torch.float64).view(2, 1, 1)


def objective(bounds, x):
    gap = teacher(x) - student(x)
    rewards = [type(b).reward(Stacked([b], x), gap[k : k + 1]) for k, b in enumerate(bounds)]
    return (torch.cat(rewards) - GAMMA * student(x).square()).mean(-1)


@pytest.mark.parametrize("bounds", [(Unbounded(), Unbounded()), (Clip(threshold=0.7), Target(threshold=0.4))])
@pytest.mark.parametrize("moved", [False, True], ids=["origin", "elsewhere"])
def test_the_gradient_is_that_of_the_objective(bounds, moved):
    made = context(bounds)
    x = made.origin + 0.1 if moved else made.origin
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective(bounds, leaf).sum(), leaf)
    torch.testing.assert_close(made.objective_gradient(x, GAMMA), expected, rtol=1e-10, atol=1e-12)


def test_reward_of_a_member_is_that_of_its_bound():
    bounds, x = (Clip(threshold=0.7), Target(threshold=0.4)), drawn(2, ROWS, FEATURES)
    made, gap = context(bounds), teacher(x) - student(x)
    for k in range(2):
        expected = objective(bounds, x)[k] + GAMMA[k, 0] * student(x)[k].square().mean(-1)
        torch.testing.assert_close(made.reward_of(k, gap[k]), expected, rtol=1e-12, atol=1e-12)


def test_an_adaptive_bound_takes_the_level_of_its_own_member():
    level = torch.tensor([0.5, 2.0], dtype=torch.float64).view(2, 1, 1)
    made = context((Clip(threshold=1.0, adaptive=True),) * 2, level=level)
    gap = torch.full((ROWS, 2), 9.0, dtype=torch.float64)
    assert [float(made.reward_of(k, gap)[0]) for k in range(2)] == [0.25, 4.0]


def test_what_is_known_costs_no_query_and_the_rest_is_counted():
    made = context()
    made.values(made.origin)
    assert made.queries == [0, 0]
    made.values(made.origin.clone())
    made.query(drawn(2, 4, FEATURES))
    made.query_one(1, drawn(5, FEATURES))
    assert made.queries == [ROWS + 4, ROWS + 9]
    unknown = context(known=False)
    unknown.values(unknown.origin)
    assert unknown.queries == [ROWS, ROWS]


def test_only_members_that_are_due_are_counted():
    made = context(clocks=[20, 25])
    for due in made.due(10, 3):
        assert due == [0]
        made.query(made.origin.clone())
    made.query(made.origin.clone())
    assert made.queries == [4 * ROWS, ROWS]
    assert list(context(clocks=[1, 2]).due(10, 3)) == []


def test_noise_is_of_each_members_own_stream():
    every, one = context().noise(4, 3), context().noise(4, 3, [1])
    assert torch.equal(one[1], every[1]) and not one[0].any() and not torch.equal(every[0], every[1])


def test_rows_are_held_by_the_bound_of_their_member():
    made = context(input_bounds=(Linf(radius=0.2), L2(radius=0.1)))
    moved = made.contain(made.origin + 5) - made.origin
    assert float(moved[0].abs().max()) == pytest.approx(0.2) and float(moved[1].norm(dim=-1).max()) < 0.2
    free = context(input_bounds=(Steps(), Steps()))
    assert torch.equal(free.contain(free.origin + 5), free.origin + 5)


def test_nominal_and_missing_values_are_those_of_the_prior_row():
    made = context(nominal=[1], gapped=[2])
    made.origin[0, 0, 2] = torch.nan
    found = made.feasible(drawn(2, ROWS, FEATURES, seed=4))
    assert torch.equal(found[..., 1], made.origin[..., 1])
    assert torch.equal(found[..., 2].isnan(), made.origin[..., 2].isnan())
    assert made.present(made.origin)[0, 0, 2] == 0.0 and made.contain(found).isnan().sum() == 1


def test_nothing_pulls_further_out_of_a_range():
    edge = torch.ones(FEATURES, dtype=torch.float64)
    made = context(geometry=Geometry(-edge, edge, torch.eye(FEATURES).double()))
    x = torch.tensor([[[1.5, -1.5, 0.0]]], dtype=torch.float64)
    assert made.inward(x, torch.ones_like(x)).tolist() == [[[0.0, 1.0, 1.0]]]
    assert made.inward(x, -torch.ones_like(x)).tolist() == [[[-1.0, 0.0, -1.0]]]
