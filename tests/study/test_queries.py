"""The queries of a study are counted before any of them, and the study then asks about as many."""

from dataclasses import replace

import pytest

from dfkd_tune.study.estimate import first_recipes
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.study.queries import queries
from dfkd_tune.study.session import run_study
from dfkd_tune.testing.problems import Counting

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def counted(tiny) -> tuple[Prepared, Counting]:
    """A study of one trial whose teacher counts the rows that it answers."""
    prepared = tiny("queried", trials=1, reruns=1, leaders=1, search={"optimizer.lr": [0.001]}, budget={"steps": 120})
    counting = Counting(prepared.teacher.function)
    return replace(prepared, teacher=replace(prepared.teacher, function=counting, fast=None)), counting


def test_a_study_asks_about_as_many_rows_as_were_told(counted, store):
    prepared, counting = counted
    told = queries(prepared, first_recipes(prepared))
    assert counting.rows == 0
    assert told.total == told.opening + told.shared + told.trial + told.again * told.runs + told.certificate
    assert (told.trials, told.runs, told.again) == (1, 1 + 2, told.trial)  # the baseline may be run again too
    run_study(prepared, store.storage, store.tracking)
    assert counting.rows == pytest.approx(told.total - told.opening, rel=0.1)  # it was probed before


def test_a_budget_of_teacher_rows_limits_a_trial(counted):
    prepared, _ = counted
    limited = [replace(recipe, teacher_rows=123) for recipe in first_recipes(prepared)]
    assert queries(prepared, limited).trial == 123
