"""Data-free knowledge distillation for regression, tuned with Optuna and recorded in MLflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkd_tune.errors import DfkdError
    from dfkd_tune.evaluation.certificate import Certificate, certify
    from dfkd_tune.inputs.feature import Feature
    from dfkd_tune.inputs.features_file import read_features
    from dfkd_tune.inputs.prior import Inputs
    from dfkd_tune.integrations.optuna_callbacks import RegisterBest
    from dfkd_tune.integrations.optuna_objective import Distillation
    from dfkd_tune.recipes.presets import PRESETS
    from dfkd_tune.recipes.recipe import Recipe
    from dfkd_tune.registry.register import register
    from dfkd_tune.search.study_file import read_spec
    from dfkd_tune.study.prepare import prepare
    from dfkd_tune.study.session import run_study
    from dfkd_tune.teachers.base import Teacher
    from dfkd_tune.teachers.loader import load_teacher
    from dfkd_tune.teachers.probe import probe
    from dfkd_tune.training.distill import Outcome, distill
    from dfkd_tune.training.problem import Problem

_HOMES = {
    "Certificate": "evaluation.certificate",
    "DfkdError": "errors",
    "Distillation": "integrations.optuna_objective",
    "Feature": "inputs.feature",
    "Inputs": "inputs.prior",
    "Outcome": "training.distill",
    "PRESETS": "recipes.presets",
    "Problem": "training.problem",
    "Recipe": "recipes.recipe",
    "RegisterBest": "integrations.optuna_callbacks",
    "Teacher": "teachers.base",
    "certify": "evaluation.certificate",
    "distill": "training.distill",
    "load_teacher": "teachers.loader",
    "prepare": "study.prepare",
    "probe": "teachers.probe",
    "read_features": "inputs.features_file",
    "read_spec": "search.study_file",
    "register": "registry.register",
    "run_study": "study.session",
}
"""Public name -> the module it lives in; imported on first use, so that the command line answers at once."""

__all__ = [
    "PRESETS",
    "Certificate",
    "DfkdError",
    "Distillation",
    "Feature",
    "Inputs",
    "Outcome",
    "Problem",
    "Recipe",
    "RegisterBest",
    "Teacher",
    "certify",
    "distill",
    "load_teacher",
    "prepare",
    "probe",
    "read_features",
    "read_spec",
    "register",
    "run_study",
]

if not TYPE_CHECKING:  # an editor is to tell a name that does not exist

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
