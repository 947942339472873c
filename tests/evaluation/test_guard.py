"""What the guard does on the report bank."""

import pytest
import torch

from dfkd_tune.evaluation.guard import guard_report
from dfkd_tune.testing.problems import make_problem


def test_gaps_are_split_by_the_guard():
    problem = make_problem()
    gaps = torch.full((len(problem.banks["report"].z), problem.outputs), 2.0, dtype=torch.float64)
    found = guard_report(problem, gaps)
    assert found is not None and 0 <= found.share < 0.05
    assert found.inside == pytest.approx(2.0) and found.outside in (None, pytest.approx(2.0))
