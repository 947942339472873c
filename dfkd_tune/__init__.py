"""Data-free knowledge distillation for regression, tuned with Optuna and recorded in MLflow."""

from importlib import import_module

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
    "read_features": "inputs.features_file",
    "read_spec": "search.study_file",
    "register": "registry.register",
    "run_study": "study.session",
}
"""Public name -> the module it lives in; imported on first use, so that the command line answers at once."""

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
