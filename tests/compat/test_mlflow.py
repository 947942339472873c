"""Private parts of MLflow are there, and leave it as it was."""

import importlib

import mlflow
from private_parts import require

from dfkd_tune.compat import mlflow as mlflow_private


def test_what_mlflow_uses_is_there(tmp_path):
    for path in mlflow_private.USED:
        module, _, name = path.partition(":")
        require(importlib.import_module(module), name, module)
    before = mlflow.get_tracking_uri()
    with mlflow_private.use_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db"):
        assert mlflow.get_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert mlflow.get_tracking_uri() == before
    maps = importlib.import_module("mlflow.utils.requirements_utils")
    known = maps._MODULES_TO_PACKAGES
    with mlflow_private.without_scan_of_packages():
        maps.warn_dependency_requirement_mismatches(["torch"])
        assert not maps._MODULES_TO_PACKAGES or maps._MODULES_TO_PACKAGES is known
    assert maps._MODULES_TO_PACKAGES is known
