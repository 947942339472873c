"""What a person sees of a call in a script; tests/integration/test_notebooks.py has notebooks."""

import time

import numpy as np
import pytest

import dfkd_tune as dt
from dfkd_tune.reporting import waiting

FEW = {"pool": 200, "bank": 100}


@pytest.fixture
def slow(monkeypatch, capfd):
    """Makes a teacher whose first answer takes until a word is on standard error, or a second; and what was there."""
    monkeypatch.setattr(waiting, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(waiting, "POLL_S", 0.02)
    seen = []

    def teacher(rows: np.ndarray) -> np.ndarray:
        until = time.monotonic() + 1
        while not any(seen) and time.monotonic() < until:
            time.sleep(0.02)
            seen.append(capfd.readouterr().err)
        return np.sin(rows[:, 0]) + rows[:, 1]

    return teacher, seen


def test_a_teacher_that_makes_one_wait_is_told(slow):
    teacher, seen = slow
    assert dt.distill(teacher, features=["a", "b"], steps=20, batch=20, budget=FEW).rmse > 0
    assert "".join(seen).startswith("waiting for the teacher: ")


def test_nothing_is_told_where_nothing_is_to_be_shown(slow):
    teacher, seen = slow
    with pytest.raises(dt.DfkdError, match="finite"):  # after the teacher was asked
        dt.tune(lambda rows: np.nan * teacher(rows), features=["a", "b"], name="silent", progress=False, budget=FEW)
    assert seen and not any(seen)


def test_a_slow_teacher_is_not_asked_for_a_call_that_does_not_fit():
    asked = []
    for wrong in ({"steps": 2.5}, {"preset": "none"}, {"max_parameters": 0}):
        with pytest.raises(dt.DfkdError):
            dt.distill(asked.append, features=["a", "b"], **wrong)
    assert asked == []
