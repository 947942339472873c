"""What is held out of a student is not trained on, whatever else grows."""

import torch
from torch import nn

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import FEW_QUERIES
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.testing.problems import recipe
from dfkd_tune.training.answered.finished_student import FinishedStudent
from dfkd_tune.training.answered.folds import FOLDS
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem
from dfkd_tune.training.banks import measure, pooled
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population

PROBE = Probe(2, 1, False, 1e6)


def part(rows: int, seed: int):
    x = torch.randn(rows, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, :1] * 3 + 5)


def never(x):
    raise AssertionError("the teacher is asked")


def make(rounds: int = 0) -> AnsweredProblem:
    teacher = Teacher("priced", never, torch.float64, "sha")
    answered = Answered(part(30, 0), part(100, 1), part(50, 2), tuple(part(20, 3 + i) for i in range(rounds)))
    return AnsweredProblem(teacher, Inputs.unknown(2), PROBE, answered, dtype=torch.float64)


def test_members_of_all_folds_train_without_their_held_out_rows():
    problem = make()
    assert problem.trained_folds == FOLDS
    population = Population(problem)
    member = Member("a", recipe(FEW_QUERIES, steps=30, batch=20), 0)
    population.admit(member)
    while not member.finished:
        population.advance()
    member = population.release("a")
    assert len(population) == 0 and len(member.companions) == FOLDS - 1
    for each in (member, *member.companions):
        assert each.kept is not None and len(each.curve) > 1
        assert not set(each.block.flatten().tolist()) - set(problem.training_rows(each.fold).tolist())
    assert not torch.equal(member.weights[0], member.companions[0].weights[0])


def test_a_finished_student_is_kept_for_every_fold(tmp_path):
    problem = make()
    problem.students = tmp_path
    distill(problem, recipe(FEW_QUERIES, steps=30, batch=20), 0)
    kept = FinishedStudent.read(
        problem.student_file("solo"), recipe(FEW_QUERIES).student, problem.columns, 1, problem.dtype
    )
    assert len(kept.folds) == FOLDS
    assert not torch.equal(kept.weights(0)[0], kept.weights(1)[0])


def test_growth_keeps_banks_and_units_and_adds_to_what_is_trained_on():
    small, grown = make(), make()
    grown.grow(make(2)._answered)
    assert len(grown.pool) == len(small.pool) + 40
    assert torch.equal(grown.pool.z[:150], small.pool.z) and torch.equal(grown.spread, small.spread)
    for name in ("pruning", "selection", "stress", "report"):
        assert torch.equal(grown.banks[name].values, small.banks[name].values)
    assert torch.allclose(small.pool.values[:100].std(0), torch.ones(1, dtype=torch.float64))


def test_an_outcome_tells_its_uncertainty_and_asks_nothing():
    outcome = distill(make(1), recipe(FEW_QUERIES, steps=30, batch=20), 0)
    told = outcome.metrics()
    assert outcome.failure is None and told["teacher_rows"] == 0
    assert 0 < told["nrmse_error"] < told["nrmse"] and told["robust_error"] > 0
    assert outcome.objective("nrmse") == outcome.folds[0].nrmse != outcome.selection.nrmse


def test_errors_of_folds_together_are_those_of_all_rows():
    problem, student = make(), nn.Linear(2, 1, dtype=torch.float64)
    banks = [problem.bank("selection", fold) for fold in range(FOLDS)]
    parts = [measure(lambda z: student(z), bank, 1)[0] for bank in banks]
    gaps = torch.cat([(student(bank.z) - bank.values).detach() for bank in banks]).square()
    together = pooled(parts)
    assert (
        together.nrmse == torch.tensor(float(gaps.mean().sqrt()))
        or abs(together.nrmse - float(gaps.mean().sqrt())) < 1e-9
    )
    expected = float(gaps.std() / len(gaps) ** 0.5 / (2 * gaps.mean().sqrt()))
    assert abs(together.error / expected - 1) < 0.25  # within folds alone
