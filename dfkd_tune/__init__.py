"""Data-free knowledge distillation for regression, tuned with Optuna and recorded in MLflow."""

from importlib import import_module

_HOMES = {
    "Certificate": "certificate",
    "DfkdError": "errors",
    "Distillation": "objective",
    "Feature": "feature",
    "Inputs": "inputs",
    "Outcome": "distillation",
    "PRESETS": "recipe",
    "Problem": "problem",
    "Recipe": "recipe",
    "RegisterBest": "callbacks",
    "Teacher": "teachers",
    "certify": "certificate",
    "distill": "distillation",
    "load_teacher": "teachers",
    "prepare": "prepared",
    "read_features": "features_file",
    "read_spec": "spec",
    "register": "registry",
    "run_study": "study",
}
"""Public name -> the module it lives in; imported on first use, so that the command line answers at once."""

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
