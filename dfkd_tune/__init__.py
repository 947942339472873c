"""Data-free knowledge distillation for regression, tuned with Optuna and recorded in MLflow.

import dfkd_tune as dt

student = dt.distill(teacher, features=["load", "flow"], max_parameters=1151)
result = dt.tune(teacher, features=["load", "flow"], max_parameters=1151, n_trials=50, name="pump")
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkd_tune.api.describe import describe
    from dfkd_tune.api.distill import distill
    from dfkd_tune.api.functions import load_teacher, read_features, register
    from dfkd_tune.api.result import Result
    from dfkd_tune.api.tune import load_result, tune
    from dfkd_tune.errors import DfkdError
    from dfkd_tune.evaluation.certificate import Certificate
    from dfkd_tune.inputs.feature import Feature
    from dfkd_tune.inputs.prior import Inputs
    from dfkd_tune.integrations.optuna_callbacks import RegisterBest
    from dfkd_tune.integrations.optuna_objective import Distillation
    from dfkd_tune.recipes.presets import PRESETS
    from dfkd_tune.recipes.recipe import Recipe
    from dfkd_tune.teachers.base import Teacher

_HOMES = {
    "Certificate": "evaluation.certificate",
    "DfkdError": "errors",
    "Distillation": "integrations.optuna_objective",
    "Feature": "inputs.feature",
    "Inputs": "inputs.prior",
    "PRESETS": "recipes.presets",
    "Recipe": "recipes.recipe",
    "RegisterBest": "integrations.optuna_callbacks",
    "Result": "api.result",
    "Teacher": "teachers.base",
    "describe": "api.describe",
    "distill": "api.distill",
    "load_result": "api.tune",
    "load_teacher": "api.functions",
    "read_features": "api.functions",
    "register": "api.functions",
    "tune": "api.tune",
}
"""Public name -> the module it lives in; imported on first use, so that the command line answers at once."""

__all__ = [
    "PRESETS",
    "Certificate",
    "DfkdError",
    "Distillation",
    "Feature",
    "Inputs",
    "Recipe",
    "RegisterBest",
    "Result",
    "Teacher",
    "describe",
    "distill",
    "load_result",
    "load_teacher",
    "read_features",
    "register",
    "tune",
]

if not TYPE_CHECKING:  # an editor should report a name that does not exist

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with warnings.catch_warnings():  # tqdm, which Optuna imports, asks every notebook for widgets
            warnings.filterwarnings("ignore", message="IProgress not found")
            return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
