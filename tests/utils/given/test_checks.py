"""Kinds of arguments: one line for what does not fit, before anything is done."""

import pytest
import torch

import dfkd_tune as dt

TEACHER = torch.nn.Linear(2, 1)
WRONG = {
    "fixed": 3,
    "budget": [("steps", 20)],
    "architecture": 3,
    "trust_pickle": "yes",
}
CALLS = {
    "distill": (dt.distill, {"teacher": TEACHER}, WRONG | {"on_step": 3}),
    "tune": (dt.tune, {"teacher": TEACHER}, WRONG | {"study": "pump", "storage": 3, "workers": 1.5, "progress": 1}),
    "Distillation": (dt.Distillation, {"teacher": TEACHER}, WRONG | {"tracking_uri": 3, "experiment": None}),
    "load_result": (dt.load_result, {"name": "pump"}, {"name": None, "teacher": 3, "tracking_uri": b"x"}),
    "describe": (dt.describe, {"data": "table.csv"}, {"targets": "yield", "at_least": 0, "tier": [1]}),
    "register": (dt.register, {"uri": "u", "study": "s", "model": "m"}, {"model": (), "trial": "3", "study": 1}),
    "read_features": (dt.read_features, {}, {"path": None}),
}
CASES = [(name, argument) for name, (_, _, wrong) in CALLS.items() for argument in wrong]


@pytest.mark.parametrize(("name", "argument"), CASES, ids=[f"{name} {argument}" for name, argument in CASES])
def test_an_argument_of_another_kind_is_named(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, given, wrong = CALLS[name]
    value = wrong[argument]
    with pytest.raises(dt.DfkdError) as refused:
        function(**given | {argument: value})
    told = str(refused.value)
    assert told.startswith(f"{name}: {argument}: must be ") and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
