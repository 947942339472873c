"""Timings of things whose times are known."""

import time

import pytest
import torch

from dfkd_tune.export import speed
from dfkd_tune.export.speed import TEACHER, called, measure


def test_medians_and_ratios_are_those_of_what_runs(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 5)
    slow, fast = called(lambda x: time.sleep(4e-3)), called(lambda x: time.sleep(1e-3))
    rows = torch.zeros(3, 2)
    found = {each.runtime: each for each in measure(slow, {"fast": fast}, [(rows, rows)])}
    assert found[TEACHER].faster == 1 and found["fast"].rows == 3
    assert 4_000 <= found[TEACHER].median < 20_000 and 1_000 <= found["fast"].low <= found["fast"].median
    assert found["fast"].faster == pytest.approx(found[TEACHER].median / found["fast"].median)
