"""Errors in words of Python: an argument where the command line has an option or a key of a file, and no way to a command."""

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import dfkd_tune as dt

X = np.random.default_rng(0).normal(size=(60, 2))
MISTAKES = {
    "no trials": ("tune", {"n_trials": 0}, "tune: n_trials: "),
    "a name": ("tune", {"name": "a/b"}, "tune: name: must be letters"),
    "a seed": ("tune", {"seed": -1}, "tune: seed: "),
    "an objective": ("tune", {"objective": "mae"}, "tune: objective: "),
    "a size": ("tune", {"max_parameters": 0}, "tune: max_parameters: "),
    "a size that nothing has": ("tune", {"max_parameters": 2}, "max_parameters: no student fits 2 parameters"),
    "steps of a study": ("tune", {"budget": {"steps": 0}}, "tune: budget.steps: "),
    "steps of a student": ("distill", {"steps": 0}, "distill: steps: "),
    "a list as a space": ("Distillation", {"search": [1]}, "Distillation: search: must be a mapping of leaves"),
    "an odd batch": ("Distillation", {"batch": 3}, "Distillation: batch: "),
    "a preset": ("Distillation", {"preset": "papr"}, "Distillation: preset: unknown preset 'papr'; known: random"),
    "a class as features": ("Distillation", {"features": dt.Inputs}, "Distillation: features: must be a path"),
    "a feature's key": ("tune", {"features": {"a": {"meen": 3}, "b": None}}, "tune: features['a'].meen: unknown key"),
    "a pair as a feature": (
        "distill",
        {"features": {"a": (0, 1)}},
        "distill: features['a']: must be a mapping, a Feature or None",
    ),
    "a table": ("distill", {"features": pd.DataFrame({"a": [1.0]})}, "got DataFrame; describe(table) makes features"),
    "a device": (
        "distill",
        {"device": "gpu"},
        "device: must be one of auto, cpu, cuda, got 'gpu'; give device=\"auto\"",
    ),
    "a classifier": (
        "distill",
        {"teacher": LogisticRegression().fit(X, X[:, 0] > 0)},
        "make a Python function of its predict_proba the teacher: teacher=function",
    ),
    "a function alone": (
        "distill",
        {"teacher": lambda x: x[:, 0], "features": None},
        "give features, or a few rows as example_inputs",
    ),
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize(("function", "given", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_its_argument(function, given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dt.DfkdError) as refusal:
        getattr(dt, function)(**({"teacher": network(), "features": ["a", "b"]} | given))
    told = str(refusal.value)
    assert words in told and len(told.splitlines()) == 1
    assert " --" not in told and "dfkd-tune check" not in told and "correct the file" not in told
    assert not (tmp_path / "mlruns" / "optuna.db").exists()


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"]])
def test_a_study_that_would_keep_the_worst_is_refused(directions):
    small = {"steps": 20, "batch": 20, "budget": {"pool": 200, "bank": 200}, "search": {}}
    objective = dt.Distillation(network(), features=["a", "b"], **small)
    study = optuna.create_study(directions=directions)
    with pytest.raises(dt.DfkdError, match=r'optuna.create_study\(direction="minimize"\)'):
        study.optimize(objective, n_trials=1)


def test_a_study_of_ones_own_fixes_what_a_study_file_fixes():
    given = {"compression": 2.0, "fixed": {"student.width": 1, "loss": {"kind": "mse"}}, "steps": 20, "batch": 20}
    torch.manual_seed(0)
    objective = dt.Distillation(
        network(), features=["a", "b"], search={"optimizer.lr": [0.01]}, budget={"pool": 200, "bank": 150}, **given
    )
    study = optuna.create_study()
    study.optimize(objective, n_trials=1)
    assert study.best_trial.user_attrs["parameters"] == 5  # three of the layers' weights, two biases
    assert {name: len(bank.z) for name, bank in objective.problem.banks.items()}["selection"] == 150
    assert len(objective.problem.pool) == 200
