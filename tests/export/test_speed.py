"""Timings of things whose times are known."""

import time

import pytest
import torch

from dfkd_tune.export import speed
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.speed import RUNTIMES, TEACHER, called, measure, missing, one_row, runtime, runtimes
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.mlp import MLP


def test_medians_and_ratios_are_those_of_what_runs(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 5)
    slow, fast = called(lambda x: time.sleep(4e-3)), called(lambda x: time.sleep(1e-3))
    rows = torch.zeros(3, 2)
    found = {each.runtime: each for each in measure(slow, {"fast": fast}, [(rows, rows)])}
    assert found[TEACHER].faster == 1 and found["fast"].rows == 3
    assert 4_000 <= found[TEACHER].median < 20_000 and 1_000 <= found["fast"].low <= found["fast"].median
    assert found["fast"].faster == pytest.approx(found[TEACHER].median / found["fast"].median)


def test_one_row_takes_what_it_takes(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 5)
    assert 2_000 <= one_row(called(lambda x: time.sleep(2e-3)), torch.zeros(1, 2)) < 20_000


def test_every_runtime_that_is_here_gives_the_students_answers():
    student, columns, encoding = MLP(3), Columns(2), Encoding([0.0, 1.0], [1.0, 2.0])
    rng = torch.Generator().manual_seed(0)
    weights = student.init_params(columns, 1, rng, torch.float32)
    module = student.module(weights, columns, encoding, torch.zeros(1), torch.ones(1))
    rows = torch.randn(4, 2, generator=rng)
    schema = InputSchema(["load", "flow"], encoding, rows)
    here = [name for name in RUNTIMES if missing(name) is None]
    assert {"PyTorch", "pt2"} <= set(here) == set(runtimes(module, schema))
    for name in here:
        run = runtime(name, module, schema)(rows)
        answers = run(1)
        if name.startswith("C"):
            torch.testing.assert_close(answers, module(rows).detach(), rtol=1e-4, atol=1e-5)


def test_a_runtime_that_is_not_installed_says_what_installs_it(monkeypatch):
    monkeypatch.setattr(speed, "find_spec", lambda package: None)
    assert "dfkd-tune[onnx]" in missing("onnxruntime") and missing("PyTorch") is None
