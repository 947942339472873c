"""Errors on a bank, in the teacher's units and in its standard deviations."""

import pytest
import torch

from dfkd_tune.testing.problems import KNOWN, make_problem, recipe
from dfkd_tune.training import banks
from dfkd_tune.training.banks import POOL_LEAST, POOL_ROWS, Bank, affordable_rows, measure
from dfkd_tune.training.distill import distill


def test_fidelity_of_several_outputs():
    """RMSE over all outputs in the teacher's units; nRMSE with each over its own spread; both from the plain student."""
    problem = make_problem(outputs=3, inputs=KNOWN)
    outcome = distill(problem, recipe(), seed=0)
    module = problem.module(outcome.recipe.student, outcome.weights).double()
    bank = problem.banks["selection"]
    x = bank.z * KNOWN.scale + KNOWN.center
    gap = (problem.teacher.function(x) - module(x)).detach()
    assert outcome.selection.rmse == pytest.approx(float(gap.square().mean().sqrt()), rel=1e-5)
    assert outcome.selection.nrmse == pytest.approx(float((gap / problem.spread).square().mean().sqrt()), rel=1e-5)
    assert outcome.selection.by_output == pytest.approx(gap.square().mean(0).sqrt().tolist(), rel=1e-5)
    assert {"output/rmse_0", "output/rmse_1", "output/rmse_2"} <= outcome.metrics().keys()


@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_members_are_measured_alike_however_many_rows_are_evaluated_at_once(monkeypatch, rows):
    rng = torch.Generator().manual_seed(0)
    z, values = (torch.randn(23, width, generator=rng, dtype=torch.float64) for width in (3, 2))
    bank = Bank(z, values, torch.tensor([10.0, 0.1], dtype=torch.float64))
    factors = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64).view(3, 1, 1)

    def students(rows):
        return factors * rows[..., :2]

    monkeypatch.setitem(banks.MEASURED_ROWS, "cpu", rows)
    for factor, found in zip(factors.flatten(), measure(students, bank, 3), strict=True):
        gap = factor * z[:, :2] - values
        assert found.nrmse == pytest.approx(float(gap.square().mean().sqrt()))
        assert found.by_output == pytest.approx((gap.square().mean(0).sqrt() * bank.spread).tolist())
        assert found.rmse == pytest.approx(float((gap * bank.spread).square().mean().sqrt()))


def test_a_student_that_answers_no_number_is_measured_as_none():
    bank = Bank(torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(1))
    good, bad = measure(lambda z: torch.stack([z[0], z[1] * torch.nan]), bank, 2)
    assert good.nrmse == 0.0 and bad.nrmse != bad.nrmse


def test_a_slow_teacher_labels_fewer_rows():
    probed = make_problem().probe
    rows = [
        affordable_rows(probed.__class__(**{**vars(probed), "rows_per_second": speed}))
        for speed in (1e-3, 1e3, 1e4, 1e9)
    ]
    assert rows[0] == POOL_LEAST and rows[-1] == POOL_ROWS and rows == sorted(rows)
    assert all(n & (n - 1) == 0 for n in rows)
    assert rows[2] <= 20 * 1e4 / 3  # outputs and gradients in three passes
