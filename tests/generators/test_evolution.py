"""Differential evolution: what it seeks, how far it goes, and when it queries."""

import pytest
import torch
from asked import fails
from generator_contexts import FEATURES, LIKE, ROWS, context, drawn, student, teacher

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.evolution import Evolution
from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.utils.strategy import Stacked, build


def sample(made, **about):
    item = Evolution(**{"rows": 40, "generations": 8} | about)
    members = len(made.rngs)
    state = {"evolved": torch.stack([item.init_state(FEATURES, 2, None, torch.float64)["evolved"]] * members)}
    return Evolution.sample(Stacked([item] * members, LIKE), state, made), state["evolved"]


def test_the_gap_of_each_member_grows():
    _, rows = sample(context())
    gap = (teacher(rows) - student(rows)).square().mean((1, 2))
    prior = torch.stack([drawn(40, FEATURES, seed=50 + k).clamp(-3, 3) for k in range(2)])
    assert (gap > 1.5 * (teacher(prior) - student(prior)).square().mean((1, 2))).all()


def test_a_pull_alone_leads_to_the_targets():
    _, rows = sample(context(), weight=0.0, pull=1.0, low=1.5, high=1.5, generations=30)
    assert float((teacher(rows) - 1.5).square().mean().sqrt()) < 0.5


def test_candidates_stay_within_reach_and_within_the_ranges():
    edge = torch.tensor([0.5, torch.inf, torch.inf], dtype=torch.float64)
    _, rows = sample(context(geometry=Geometry(-edge, edge, torch.eye(FEATURES).double())), reach=1.0)
    assert rows.abs().amax((0, 1)).tolist() <= [0.5, 1.0, 1.0] and float(rows.abs().max()) > 0.9


def test_between_evolutions_rows_of_the_last_one_are_drawn_without_a_query():
    made = context(clocks=[10, 13])
    rows, evolved = sample(made)
    assert rows.shape == (2, ROWS, FEATURES)
    assert made.queries[0] == 40 * 9 and made.queries[1] == 0  # the first population, and one for each generation
    for k in range(2):
        assert torch.cdist(rows[k], evolved[k]).amin(1).max() < 1e-6


def test_something_must_be_sought():
    with fails("g", "weight and pull must not both be 0", kind=SpecError):
        build(Evolution, {"weight": 0.0}, "g")


@pytest.mark.parametrize("rows", [4, 5])
def test_there_are_as_many_candidates_as_scipy_needs(rows):
    if rows == 4:
        with fails("g.rows", "greater than or equal to 5", "got 4", kind=SpecError):
            build(Evolution, {"rows": rows}, "g")
    else:
        assert sample(context(), rows=rows, generations=1)[1].shape == (2, 5, FEATURES)
