"""Sizes are tried downwards, the smallest that holds is found, and the confidence is that of Student's t."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.search.study_file import StudySection
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.module import Module
from dfkd_tune.study.smaller.sizes import CLOSE, compared, label, smallest

COLUMNS = Columns(4)


@given(st.integers(1, 300), st.data())
def test_the_smallest_width_is_found(width, data):
    least, tried = data.draw(st.integers(1, width)), []

    def holds(student):
        tried.append(student.width)
        return student.width >= least

    found = smallest(MLP(width), COLUMNS, holds)
    reached = width if found is None else found.width
    assert least <= reached <= least + max(1, reached // CLOSE)
    assert len(tried) == len(set(tried)) <= 3 * math.log2(width + 1) + 3
    assert all(1 <= each < width for each in tried)


def test_layers_go_before_units():
    tried = []

    def holds(student):
        tried.append((student.depth, student.width))
        return student.depth >= 2 and student.width >= 10

    assert smallest(MLP(20, depth=3), COLUMNS, holds) == MLP(10, depth=2)
    assert tried[:3] == [(2, 20), (1, 20), (2, 10)]


def test_what_cannot_be_smaller_is_not_tried():
    assert smallest(Module("torch.nn:Identity"), COLUMNS, lambda student: pytest.fail("tried")) is None


def test_a_size_has_a_label():
    assert [label(one, COLUMNS) for one in (MLP(25), MLP(25, depth=2))] == ["w25", "d2-w25"]


def test_the_confidence_is_that_of_students_t():
    from scipy import stats

    before, after = (0.1, 0.11, 0.09, 0.1), (0.102, 0.115, 0.092, 0.101)
    found = compared(7, list("abcd"), after, before, 0.05)
    logs = [math.log(a / b) for a, b in zip(after, before, strict=True)]
    assert found.ratio == pytest.approx(math.exp(sum(logs) / 4))
    low, high = stats.t.interval(0.95, 3, sum(logs) / 4, stats.sem(logs))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    test = stats.ttest_1samp(logs, math.log1p(0.05), alternative="less")
    assert found.confidence == pytest.approx(1 - test.pvalue)


def test_a_student_that_diverged_keeps_within_no_share():
    found = compared(7, ["a", "b"], (0.1, None), (0.1, 0.1), 10.0)
    assert (found.ratio, found.confidence) == (math.inf, 0.0)


def test_a_study_without_a_share_trains_no_more_students():
    assert StudySection().smaller_runs == 0
    assert StudySection(within=0.05, reruns=3).smaller_runs == 2 * StudySection(within=0.05, reruns=1).smaller_runs > 0
