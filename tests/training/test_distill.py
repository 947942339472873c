"""What comes of a distillation: its metrics, its objective, and a refiner that is kept only where it helps."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from dfkd_tune.recipes.base import Refiner
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.banks import Fidelity
from dfkd_tune.training.distill import SHOWN_ROWS, conclude, distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.fixture(scope="module")
def outcome(problem):
    return distill(problem, recipe(), seed=0)


def test_robust_is_the_weighted_geometric_mean_of_both_banks(outcome):
    judged = replace(
        outcome, selection=Fidelity(3.0, 0.04, (3.0,)), stress=Fidelity(9.0, 0.25, (9.0,)), stress_weight=0.5
    )
    assert judged.robust == judged.objective("robust") == judged.metrics()["robust"] == pytest.approx(0.1)
    assert replace(judged, stress_weight=0.0).robust == pytest.approx(0.04)
    assert (judged.objective("rmse"), judged.objective("nrmse")) == (3.0, 0.04)


def test_metrics_hold_what_there_is(outcome):
    told = outcome.metrics()
    assert {"rmse", "nrmse", "parameters", "compression", "latency_us", "exactness/student", "gap/q50"} <= told.keys()
    assert not {"stress_rmse", "robust", "output/rmse_0"} & told.keys()  # neither a stress bank nor a second output
    failed = replace(outcome, selection=None, failure="diverged", latency=None, gaps={}, compression=None)
    assert not {"rmse", "latency_us", "compression"} & failed.metrics().keys() and failed.metrics()["teacher_rows"] > 0
    assert all(map(math.isfinite, told.values()))


def test_the_student_as_a_file_is_the_student_in_training(outcome):
    assert outcome.gaps["exactness/student"] < 1e-4 and outcome.gaps["exactness/teacher"] == 0.0
    assert outcome.synthetic.shape == (SHOWN_ROWS, 4)


def test_looking_at_rows_costs_the_student_nothing(problem, outcome):
    (member,) = run(problem, Member("solo", recipe(), 0))
    assert outcome.teacher_rows == member.teacher_rows
    assert distill(problem, recipe(RANDOM), seed=0).synthetic is None


def test_the_optimizers_result_is_told_without_its_finish(problem):
    one = recipe(refiner="lbfgs")
    (member,) = run(problem, Member("solo", one, 0))
    weights = [w.clone() for w in member.result()]
    told = conclude(problem, member, 1.5, refine=False)
    assert all(map(torch.equal, told.weights, weights))
    assert told.latency is None and told.synthetic is None and told.gaps == {} and told.seconds >= 1.5


@dataclass(frozen=True)
class Ruin(Refiner):
    """Makes everything worse."""

    def refine(self, task, weights, draw, budget, begun=0.0):
        return [100 * w for w in weights]


def test_a_refiner_that_makes_the_student_worse_is_not_heard(problem):
    (member,) = run(problem, Member("solo", recipe(), 0))
    object.__setattr__(member.recipe, "refiner", Ruin())  # no registry knows it
    before = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    told = conclude(problem, member, 0.0)
    assert told.curve[-1][1] > 10 * told.curve[-2][1]  # and its failure is on record
    assert fidelity(problem, member.recipe, told.weights, problem.banks["pruning"]).nrmse == before


def test_a_student_that_diverges_on_a_bank_alone_has_failed(problem):
    (member,) = run(problem, Member("solo", recipe(), 0))
    member.kept = (0.1, [torch.full_like(w, torch.nan) for w in member.weights])
    told = conclude(problem, member, 0.0)
    assert told.failure == "diverged: the RMSE is nan on the selection bank" and told.selection is None
