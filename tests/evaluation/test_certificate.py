"""The certificate of fidelity: what it measures, how hard it looks, where it is kept, and that it is told when it cannot be made."""

import math

import pytest
import torch
from pages_seen import Seen, finite
from torch import nn

from dfkd_tune import Feature, Inputs
from dfkd_tune.errors import ExportError
from dfkd_tune.evaluation.attack import RADIUS, hold
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, KNOWN, Counting, make_problem, network, recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import stream

PLACE = torch.tensor([0.9, -0.4, 0.2, 0.5], dtype=torch.float64)
SHARES = Inputs([Feature(name=f"share {i}", mean=0.25, std=0.19) for i in range(4)], simplex=range(4))


class Student(nn.Module):
    """A teacher with something added."""

    def __init__(self, teacher, added):
        super().__init__()
        self.teacher, self.added = teacher, added
        self.register_buffer("wide", torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return self.teacher(x) + self.added(x)


def bump(size=3.0, width=0.25, outputs=1):
    """A bump of the last output, far narrower than the prior."""

    def added(x):
        height = size * torch.exp(-((x - PLACE) / width).square().sum(1) / 2)
        return torch.stack([torch.zeros_like(height)] * (outputs - 1) + [height], dim=1)

    return added


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


@pytest.mark.parametrize("differentiable", [True, False])
def test_an_attack_finds_what_the_bank_does_not_show(differentiable):
    teacher = Counting(network())
    asked = (lambda x: teacher(x.detach())) if not differentiable else teacher
    problem = make_problem(asked)
    assert problem.probe.differentiable == differentiable
    student, before = Student(network(), bump()), teacher.rows
    found = certify(problem, student)
    asked_for = teacher.rows - before
    assert found.worst.method == ("gradient" if differentiable else "random")
    report = len(problem.banks["report"].z)
    assert found.worst.teacher_rows == asked_for - report == found.budget["attack_rows"]
    assert found.worst.gap > 1.5 * found.report.by_output[0].gaps.largest
    at = torch.tensor([*found.worst.input.values()], dtype=torch.float64)
    assert float((at - PLACE).abs().max()) < 0.3
    # What it tells can be asked again.
    gap = (student(at[None]) - problem.teacher(at[None])).abs()
    assert found.worst.gap == pytest.approx(float(gap), rel=1e-9)
    origin = torch.tensor([*found.worst.origin.values()], dtype=torch.float64)
    assert (problem.banks["report"].z == origin).all(1).any()
    assert float((at - origin).abs().max()) == pytest.approx(found.worst.distance)
    assert found.worst.distance <= RADIUS * (1 + 1e-9)


def test_the_worst_region_holds_the_place(problem):
    wide = Problem(problem.teacher, problem.inputs, problem.probe, pool_rows=512, bank_rows=4000, dtype=torch.float64)
    student = Student(problem.teacher.function, bump(width=0.8))
    found = certify(wide, student).regions
    assert sum(region.rows for region in found) == 2000
    assert sum(region.share for region in found) == pytest.approx(1)
    assert [region.ratio for region in found] == sorted((region.ratio for region in found), reverse=True)
    assert found[0].ratio > 2
    place = dict(zip(problem.inputs.names, PLACE.tolist(), strict=True))
    for condition in found[0].conditions:
        assert condition.above is None or place[condition.feature] > condition.above
        assert condition.upto is None or place[condition.feature] <= condition.upto

    # A region is what its words say, measured on the rows that the tree has not seen.
    x = wide.banks["report"].z[1::2]
    for region in found:
        inside = torch.ones(len(x), dtype=torch.bool)
        for condition in region.conditions:
            column = x[:, problem.inputs.names.index(condition.feature)]
            inside &= column > (-math.inf if condition.above is None else condition.above)
            inside &= column <= (math.inf if condition.upto is None else condition.upto)
        assert int(inside.sum()) == region.rows
        gaps = (student(x[inside]) - problem.teacher(x[inside])).detach()
        assert region.rmse == pytest.approx(float(gaps.square().mean().sqrt()))


@pytest.mark.parametrize("inputs", [KNOWN, SHARES], ids=["mixed", "simplex"])
def test_an_attack_stays_within_what_is_declared(inputs):
    rng = torch.Generator().manual_seed(0)
    origin = inputs.draw(300, rng)
    z = origin + 2 * RADIUS * (2 * torch.rand(origin.shape, generator=rng, dtype=torch.float64) - 1)
    held = hold(inputs, z, origin)
    assert float((held - origin).abs().max()) <= RADIUS * (1 + 1e-3)
    torch.testing.assert_close(inputs.project(held.clone()), held)
    assert (held != origin).any(1).float().mean() > 0.9
    torch.testing.assert_close(hold(inputs, origin, origin), origin)


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


def test_the_page_stands_alone_and_runs_nothing():
    hostile = "<script>alert(1)</script>"
    names = [hostile, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "plain"]
    problem = make_problem(inputs=Inputs([Feature(name=name, mean=0.0, std=1.0) for name in names]))
    student = Student(problem.teacher.function, lambda x: 0.5 * x[:, :1].clamp(min=0) ** 2)
    text = page(certify(problem, student, {"study": hostile, "trial": 3, "run_id": "<b>"}))
    seen = Seen(text)
    assert not seen.references
    assert not seen.tags & {"script", "img", "link", "iframe", "b>"}
    assert not any(word in text for word in ("http:", "https:", "@import", "url("))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert 'name="viewport"' in text
    assert text.index("RMSE") < text.index("<h2>")


def test_many_features_are_folded_away():
    problem = make_problem(inputs=Inputs.unknown(60))
    text = page(certify(problem, Student(problem.teacher.function, lambda x: 0.1 * x[:, :1])))
    assert "36 more features" in text and "and 36 more" in text


def test_a_teacher_in_float32_is_certified(small_teacher):
    module = network().float()
    inputs = Inputs.unknown(FEATURES)
    teacher = Teacher("single", module, torch.float32, "sha")
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=500, bank_rows=200)
    found = certify(problem, module)
    assert found.worst.relative_gap < 1e-5 and found.report.relative_rmse < 1e-5
