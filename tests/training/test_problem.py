"""The setting of a study: normalized outputs, gradients whichever way they come, and teachers that cannot be asked."""

import math
from functools import partial

import pytest
import torch
from asked import fails as told

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import KNOWN, Counting, make_problem, network
from dfkd_tune.training.problem import Problem

fails = partial(told, kind=TeacherError)


def test_outputs_are_normalized_by_the_pruning_bank():
    problem = make_problem(outputs=3, inputs=KNOWN)
    own = problem.teacher(KNOWN.raw(problem.banks["pruning"].z))
    torch.testing.assert_close(problem.shift, own.mean(0))
    torch.testing.assert_close(problem.spread, own.std(0))
    for bank in problem.banks.values():
        expected = (problem.teacher(KNOWN.raw(bank.z)) - problem.shift) / problem.spread
        torch.testing.assert_close(bank.values, expected)
    torch.testing.assert_close(problem.answer(problem.pool.z), problem.pool.values)


def test_banks_and_pool_are_of_one_seed_and_differ():
    first, again = (make_problem() for _ in range(2))
    assert torch.equal(first.pool.z, again.pool.z)
    rows = torch.cat([first.pool.z, *(bank.z for bank in first.banks.values())])
    assert len(rows.unique(dim=0)) == len(rows)


@pytest.mark.parametrize("quick", [False, True], ids=["autograd", "layers"])
def test_gradients_are_those_of_the_normalized_teacher(quick):
    problem = make_problem(outputs=2, inputs=KNOWN, quick=quick)
    z = problem.pool.z[:7].clone().requires_grad_()
    u = (network(2)(KNOWN.center + KNOWN.scale * z) - problem.shift) / problem.spread
    expected = torch.stack([torch.autograd.grad(u[:, o].sum(), z, retain_graph=True)[0] for o in range(2)], dim=1)
    for found in (
        problem.values_and_gradients(z.detach())[1],
        problem.labels(z.detach())[1],
        problem.pool.gradients[:7],
    ):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_differences_stand_for_the_gradients_of_a_black_box():
    """Within the ranges, between neighboring levels, and at two queries for each feature that can be moved."""
    weights = torch.tensor([1.0, -2.0, 0.5, 0.1], dtype=torch.float64)
    counting = Counting(lambda x: torch.from_numpy((x.detach() @ weights).numpy().copy()))
    problem = make_problem(counting, inputs=KNOWN)
    assert not problem.probe.differentiable and problem.pool.gradients is None
    before = counting.rows
    _, found = problem.labels(problem.pool.z[:9])
    assert counting.rows - before == 9 * problem.label_rows == 9 * 9
    expected = weights * KNOWN.scale / problem.spread
    torch.testing.assert_close(found, expected.expand(9, 1, 4), rtol=1e-8, atol=1e-8)


def test_every_row_that_the_teacher_answers_is_counted():
    counting = Counting(network())
    problem = make_problem(counting)
    asked = counting.rows
    at_once = problem.queries
    problem.answer(problem.pool.z[:5])
    problem.vjp(problem.pool.z[:5])
    problem.file_outputs(problem.pool.z[:5])
    assert counting.rows - asked == problem.queries - at_once == 15
    assert problem.frozen_rows == at_once


def test_a_teacher_that_answers_no_number_somewhere_is_told_with_a_row():
    """Where its probe did not look."""
    inputs = parse_features({"features": ["load", {"name": "flow", "range": [0, 1]}]}, "f")
    good, bad = (Teacher("t", function, torch.float64, "sha") for function in (lambda x: x.sum(1), holes))
    with fails("t", "must give finite outputs, but", "of 200 prior rows gave NaN or infinity, such as x0=", "units"):
        Problem(bad, inputs, probe(good, inputs), pool_rows=64, bank_rows=200, dtype=torch.float64)


def holes(x):
    return torch.where(x[:, 0] > 1.0, math.nan, x.sum(1))


def test_indices_of_members_give_rows_of_members():
    pool, index = make_problem(outputs=2).pool, torch.tensor([[3, 1, 3], [0, 0, 2]])
    z, values = pool.rows(index)
    assert torch.equal(z, pool.z[index]) and torch.equal(values, pool.values[index])
