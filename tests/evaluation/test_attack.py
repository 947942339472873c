"""An attack finds what a bank does not show, within what is declared."""

from contextlib import nullcontext

import pytest
import torch
from wrong_students import PLACE, SHARES, Student, bump

from dfkd_tune.errors import QueriesSpent
from dfkd_tune.evaluation.attack import RADIUS, attack, hold
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.guarded import Guard
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.testing.problems import KNOWN, Counting, make_problem, network
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem


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


class Ending(Counting):
    """A teacher whose total is used up after so many rows."""

    total = 10**9

    def __call__(self, x):
        if self.rows + len(x) > self.total:
            raise QueriesSpent("study 'a'", "0 of 600 teacher queries are left")
        return super().__call__(x)


@pytest.mark.parametrize(("more", "method"), [(0, "none"), (20_000, "random")])
def test_a_total_that_ends_in_an_attack_ends_the_attack_alone(more, method):
    teacher = Ending(network())
    problem = make_problem(lambda x: teacher(x.detach()))
    z = problem.banks["report"].z
    gaps = torch.arange(len(z)).double()
    teacher.total = teacher.rows + more
    found = attack(problem, lambda rows: rows[:, :1], torch.ones(1), gaps)
    assert found.method == method and found.rows <= more and teacher.rows <= teacher.total
    assert more or torch.equal(found.z, z[-1])


@pytest.mark.parametrize("limit", [0, 1, 7, 42, 101])
def test_an_attack_within_a_number_of_rows_takes_all_of_them_and_none_more(limit):
    rows = [torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (40, 60, 30)]
    parts = [(x, x[:, :1] * x[:, 1:]) for x in rows]
    teacher = Counting(lambda x: x[:, :1] * x[:, 1:])
    priced = Teacher("priced", teacher, torch.float64, "sha", guard=Guard(meter=None))
    answered, probe = Answered(*parts), Probe(2, 1, False, 1e6)
    problem = AnsweredProblem(priced, Inputs.unknown(2), probe, answered, attack=lambda: (0, limit))
    found = attack(problem, lambda z: z[:, :1], torch.ones(1), torch.arange(40).double())
    assert found.rows == teacher.rows == limit
    assert (found.method == "none") == (limit == 0)
    at = found.z.double()
    assert found.z.isfinite().all() and (limit == 0 or float((at - found.origin).abs().max()) <= RADIUS * (1 + 1e-6))


def test_an_attack_on_rows_that_were_answered_before_counts(monkeypatch):
    """Where inputs have few different rows, all answers may be known, so that an attack asks for none."""
    problem = make_problem(Counting(network()))
    monkeypatch.setattr(problem, "counting", lambda: nullcontext(lambda: 0))
    found = certify(problem, Student(network(), bump()))
    assert (found.worst.method, found.worst.teacher_rows) == ("gradient", 0)
    assert found.worst.gap > 1.5 * found.report.by_output[0].gaps.largest
