"""A study's record: what is not recorded is nothing, and a snapshot stays as it was taken."""

import time

import optuna
import pytest

from dfkd_tune.search.attributes import ANSWERED, BASELINE, DEADLINE, PROMOTED, RERUNS, UNTUNED, StudyRecord


def test_what_is_not_recorded_is_nothing():
    empty = StudyRecord({})
    names = [name for name, each in vars(StudyRecord).items() if isinstance(each, property)]
    found = {name: getattr(empty, name) for name in names}
    assert {name: value for name, value in found.items() if value} == {
        "objective": "rmse",
        "workers": 1,
        "rerun_length": 1.0,
    }


@pytest.mark.parametrize(("had", "now", "known"), [(None, None, True), (264, 264, True), (264, 400, False)])
def test_a_baseline_that_had_fewer_rows_is_not_known(had, now, known):
    untuned = {} if had is None else {"answered_rows": had}
    found = {BASELINE: 0.5, UNTUNED: untuned} | ({} if now is None else {ANSWERED: now})
    assert StudyRecord(found).is_baseline_known == known


def test_a_record_is_read_once():
    study = optuna.create_study()
    study.set_user_attr(RERUNS, {"3": {"rerun-0003-1": [0.5, 0.25]}})
    before = StudyRecord.of(study)
    study.set_user_attr(PROMOTED, {"trial": 3})
    assert before.promoted is None and StudyRecord.of(study).promoted == {"trial": 3}
    assert StudyRecord.of(study).reruns == before.reruns == {"3": {"rerun-0003-1": [0.5, 0.25]}}


@pytest.mark.parametrize(("seconds", "late"), [(None, False), (-1, True), (0, True), (60, False)])
def test_a_study_is_late_from_its_deadline_on(seconds, late):
    deadline = None if seconds is None else time.time() + seconds
    assert StudyRecord({DEADLINE: deadline}).is_late == late
