"""The worst region is where a student is wrong, and its error is that of its rows."""

import math

import pytest
import torch
from wrong_students import PLACE, Student, bump

from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.testing.problems import make_problem
from dfkd_tune.training.problem import Problem


def test_the_worst_region_holds_the_place():
    problem = make_problem()
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
