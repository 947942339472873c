"""The certificate of fidelity: what it measures, how hard it looks, where it is kept, and that it is told when it cannot be made."""

import math

import pytest
import torch
from pages_seen import finite
from wrong_students import Student, bump

from dfkd_tune import Inputs
from dfkd_tune.errors import ExportError
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, KNOWN, make_problem, network, recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import stream


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_teacher_itself_is_certified_without_a_gap(outputs):
    problem = make_problem(outputs=outputs, inputs=KNOWN)
    found = certify(problem, problem.teacher.function)
    scale = 1e-12 * float(problem.spread.max())
    assert found.report.rmse <= scale and found.worst.gap <= scale
    assert found.report.r2 == pytest.approx(1)
    assert found.report.relative_gaps.largest <= 1e-12
    assert all(region.rmse <= scale for region in found.regions)
    assert finite(found.as_dict())
    assert page(found)


def test_a_constant_gap_is_told_in_the_teachers_units(problem):
    found = certify(problem, Student(problem.teacher.function, lambda x: 0.3))
    spread = found.report.by_output[0].spread
    gaps = found.report.by_output[0].gaps
    assert found.report.rmse == pytest.approx(0.3)
    assert found.report.interval == pytest.approx((0.3, 0.3))
    assert (gaps.p50, gaps.p95, gaps.p99, gaps.largest) == pytest.approx((0.3,) * 4)
    assert found.report.relative_rmse == pytest.approx(0.3 / spread)
    assert found.report.r2 == pytest.approx(1 - (0.3 / spread) ** 2)
    assert found.worst.gap == pytest.approx(0.3)
    bank = problem.banks["report"].values * problem.spread
    assert spread == pytest.approx(float(bank.std()))


def test_the_figures_are_those_of_the_report_bank(problem):
    student = Student(problem.teacher.function, lambda x: 0.1 * torch.sin(3 * x[:, :1]))
    found = certify(problem, student)
    x = problem.inputs.draw(200, stream(problem.seed, "report"))
    gaps = (student(x) - problem.teacher(x)).detach().abs()[:, 0]
    assert found.report.rmse == pytest.approx(float(gaps.square().mean().sqrt()))
    assert found.report.by_output[0].gaps.largest == pytest.approx(float(gaps.max()))
    assert found.report.by_output[0].gaps.p95 == pytest.approx(float(gaps.sort().values[189]))
    # A share that 200 rows miss altogether in one of twenty studies.
    assert (1 - found.report.beyond_largest) ** 200 == pytest.approx(0.05)


def test_the_worst_output_is_named():
    problem = make_problem(outputs=3)
    found = certify(problem, Student(problem.teacher.function, bump(size=30.0, outputs=3)))
    assert found.worst.output == 2
    spread = found.report.by_output[2].spread
    assert found.worst.gap == pytest.approx(abs(found.worst.student[2] - found.worst.teacher[2]))
    assert found.worst.relative_gap == pytest.approx(found.worst.gap / spread)
    share = f"{found.worst.gap:.4g}, {100 * found.worst.relative_gap:.3g} % of the standard deviation of output 2"
    assert any(share in sentence for sentence in found.statement["holds"])
    assert [o.rmse > 0 for o in found.report.by_output] == [False, False, True]
    both = found.report.by_output
    assert found.report.rmse == pytest.approx(math.sqrt(sum(o.rmse**2 for o in both) / 3))
    assert found.report.relative_rmse == pytest.approx(math.sqrt(sum(o.relative_rmse**2 for o in both) / 3))


def test_the_same_twice_is_the_same(problem):
    student = Student(problem.teacher.function, bump())
    assert certify(problem, student).as_dict() == certify(make_problem(), student).as_dict()


def test_an_outcome_is_certified_like_its_module(problem):
    outcome = distill(problem, recipe(), seed=1)
    found = certify(problem, outcome)
    module = certify(problem, problem.module(outcome.recipe.student, outcome.weights))
    assert found.report == module.report and found.worst == module.worst and found.regions == module.regions
    assert (found.budget["steps"], found.budget["batch"]) == (30, 12)
    assert found.student["parameters"] == outcome.parameters


def test_answers_that_are_not_finite_do_not_count(problem):
    student = Student(problem.teacher.function, lambda x: torch.where(x[:, :1] > 0.5, torch.nan, 0.1))
    with pytest.raises(ExportError, match=r"no finite output for \d+ of 200 report rows"):
        certify(problem, student)
    beyond = float(problem.banks["report"].z[:, 0].max())
    found = certify(
        problem, Student(problem.teacher.function, lambda x: torch.where(x[:, :1] > beyond, torch.nan, x[:, :1]))
    )
    assert found.worst.unanswered > 0
    assert finite(found.as_dict())
    assert "without a finite output" in found.statement["does_not_hold"][-1]


def test_a_teacher_in_float32_is_certified(small_teacher):
    module = network().float()
    inputs = Inputs.unknown(FEATURES)
    teacher = Teacher("single", module, torch.float32, "sha")
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=500, bank_rows=200)
    found = certify(problem, module)
    assert found.worst.relative_gap < 1e-5 and found.report.relative_rmse < 1e-5
