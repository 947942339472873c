"""A student is the weights of its best rung, or those after its last step: what its checkpoint says."""

from dataclasses import dataclass

import pytest
import torch

from dfkd_tune.recipes.base import Refiner
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.distill import polish
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity

AGITATED = {"optimizer": {"kind": "adam", "lr": 0.3}, "steps": 60}
"""Steps so long that the last rung is not the best."""


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def trained(problem, checkpoint: str, **sections) -> Member:
    (member,) = run(problem, Member("a", recipe(RANDOM, checkpoint=checkpoint, **AGITATED | sections), 0))
    return member


def test_best_keeps_the_lowest_point_of_the_curve_and_last_the_end_of_it(problem):
    best, last = trained(problem, "best"), trained(problem, "last")
    assert best.curve == last.curve and min(best.curve, key=lambda point: point[1]) != best.curve[-1]
    reached = [fidelity(problem, each.recipe, each.result(), problem.banks["pruning"]).rmse for each in (best, last)]
    assert reached[0] == pytest.approx(min(rmse for _, rmse in best.curve))
    assert reached[1] == pytest.approx(last.curve[-1][1])
    assert all(map(torch.equal, last.result(), last.weights)) and all(map(torch.equal, best.weights, last.weights))


def test_last_is_the_average_where_an_optimizer_makes_one(problem):
    member = trained(problem, "last", optimizer={"kind": "adamw", "lr": 0.1, "averaging": 0.9})
    assert all(map(torch.equal, member.result(), member.average))
    assert not all(map(torch.equal, member.result(), member.weights))


@dataclass(frozen=True)
class Ruin(Refiner):
    """Makes everything worse."""

    def refine(self, task, weights, draw, budget, begun=0.0):
        return [100 * w for w in weights]


@pytest.mark.parametrize(("checkpoint", "kept"), [("best", False), ("last", True)])
def test_what_a_refiner_makes_comes_last_and_is_not_always_best(problem, checkpoint, kept):
    member = trained(problem, checkpoint)
    before = [w.clone() for w in member.result()]
    object.__setattr__(member.recipe, "refiner", Ruin())  # no registry knows it
    polish(problem, member)
    assert all(map(torch.equal, member.result(), [100 * w for w in before] if kept else before))
