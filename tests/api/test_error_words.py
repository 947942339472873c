"""Errors in words of Python: an argument where the command line has an option or a key of a file, and no way to a command."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import dfkd_tune as dt
from dfkd_tune.api.error_words import worded

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


TERMINAL = (
    "cli/",
    "reporting/plot_style.py",
    "reporting/publication.py",
    "reporting/mlflow_summary.py",
    "reporting/summary_text.py",
    "testing/",
)
"""Modules whose options are parts of commands or of style sheets, not of refusals."""
OPTIONS_OF_COMMANDS = {
    "cluster",
    "help",
    "out",
    "pareto-latency",
    "porcelain",
    "precision",
    "recipe",
    "run",
    "untracked-files",
    "within",
}
"""Options that no function in Python leads to."""


def options_in_messages() -> dict[str, set[str]]:
    """Option -> the modules in whose texts it is, docstrings left out."""
    package, found = Path(dt.__file__).parent, {}
    for file in package.rglob("*.py"):
        module, tree = file.relative_to(package).as_posix(), ast.parse(file.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*)", node.value):
                    if not module.startswith(TERMINAL):
                        found.setdefault(option, set()).add(module)
    return found


def test_every_option_that_a_message_names_is_an_argument():
    functions = (dt.tune, dt.distill, dt.describe, dt.load_result, dt.load_teacher, dt.register, dt.Result.export)
    arguments = {name for function in functions for name in inspect.signature(function).parameters}
    unknown = {}
    for option, modules in options_in_messages().items():
        argument = re.match(r"\w+", worded(f"--{option}"))[0]
        if argument not in arguments and option not in OPTIONS_OF_COMMANDS:
            unknown[option] = modules
    assert unknown == {}


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("--missing drop leaves those rows out, or", 'missing="drop" leaves those rows out, or'),
        ("leave it out with --target 'my load'", 'leave it out with targets=["my load"]'),
        ("say which with --separator , or --decimal ,", 'say which with separator="," or decimal=","'),
        ("give --trust-pickle if you trust its author", "give trust_pickle=True if you trust its author"),
        ("give another --storage and --name", "give another storage and name"),
        ("run it with --workers 1 to see why", "run it with workers=1 to see why"),
        ("give --teacher PATH of the original", "give teacher=PATH of the original"),
        ("check the units in the features file", "check the units in features"),
        ("/data/--name", "/data/--name"),
    ],
)
def test_options_become_arguments_with_their_values(text, ours):
    assert worded(text) == ours


def test_public_functions_of_files_speak_python(tmp_path):
    import joblib

    joblib.dump(LogisticRegression(), tmp_path / "line.joblib")
    with pytest.raises(dt.DfkdError, match="trust_pickle=True"):
        dt.load_teacher(tmp_path / "line.joblib")
    with pytest.raises(dt.DfkdError, match=r"^register: alias: must be a word"):
        dt.register(f"sqlite:///{tmp_path}/mlflow.db", "pump", "pump", alias="v1")
    (tmp_path / "features.yaml").write_text("features: [{nme: a}]")
    with pytest.raises(dt.DfkdError, match=r"correct the file$|known keys") as refusal:
        dt.read_features(tmp_path / "features.yaml")
    assert "dfkd-tune" not in str(refusal.value)


class TestDescribe:
    frame = pd.DataFrame({"a": np.arange(400.0), "b": np.arange(400) % 3 * 1.0})

    def test_rows_that_were_filtered_or_shuffled_are_a_table(self):
        told = dt.describe(self.frame.reset_index(drop=True)).tree()
        assert dt.describe(self.frame.sample(frac=1, random_state=0)).tree() == told
        assert len(dt.describe(self.frame[self.frame.a > 99]).tree()["features"]) == 2

    def test_an_index_that_may_be_a_feature_is_no_number_of_a_row(self):
        with pytest.raises(dt.DfkdError, match=r"describe: data: has an index without a name .*reset_index"):
            dt.describe(self.frame.set_index(self.frame.a + 0.5).rename_axis(None))
        named = dt.describe(self.frame.rename_axis("row")[self.frame.a > 99])
        assert [each["name"] for each in named.tree()["features"]] == ["a", "b", "row"]

    def test_missing_values_are_treated_as_asked(self):
        gaps = self.frame.assign(a=self.frame.a.where(self.frame.a % 4 > 0))
        with pytest.raises(dt.DfkdError) as refusal:
            dt.describe(gaps)
        assert 'missing="drop"' in str(refusal.value) and str(refusal.value).startswith("describe: data: ")
        assert dt.describe(gaps, missing="drop").rows == 300
        assert dt.describe(gaps, missing="level").tree()["features"][0]["missing"] == 0.25

    def test_a_text_is_read_as_its_arguments_say(self, tmp_path):
        self.frame.to_csv(tmp_path / "t.data", sep="|", index=False)
        told = dt.describe(tmp_path / "t.data", kind="csv", separator="|")
        assert [each["name"] for each in told.features] == ["a", "b"]
        with pytest.raises(dt.DfkdError, match='kind="csv"'):
            dt.describe(tmp_path / "t.data")
        with pytest.raises(dt.DfkdError, match="describe: missing: unknown missing 'keep'; known: refuse, drop, level"):
            dt.describe(self.frame, missing="keep")
