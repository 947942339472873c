"""Private parts of MLflow. They are imported inside functions, because the import of MLflow takes a second.

The queries are for an SQLite file of MLflow, which answers them without that import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

USED = (
    "mlflow.tracking._tracking_service.utils:_use_tracking_uri",
    "mlflow.models.utils:_save_example",
    "mlflow.utils.requirements_utils:_MODULES_TO_PACKAGES",
)
"""``module:name`` of each private part."""
EXPERIMENTS = "SELECT name, lifecycle_stage FROM experiments ORDER BY last_update_time DESC"
"""Names of all experiments, each with ``active`` or ``deleted``."""
RUNS_WITH = """
    SELECT runs.run_uuid FROM experiments JOIN runs USING (experiment_id) JOIN tags USING (run_uuid) JOIN params USING (run_uuid)
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND runs.status = ?
    AND tags.key = ? AND tags.value = ? AND params.key = ? AND params.value = ?
"""
"""IDs of the runs of an experiment with a status, a tag and a parameter."""


def use_tracking_uri(uri: str) -> AbstractContextManager[None]:
    """Set MLflow's global tracking URI inside the block."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    return _use_tracking_uri(uri)


def save_example(model: Any, example: Any, folder: str) -> None:
    """Save the input example of an ``mlflow.models.Model`` in its folder, without inferring a signature."""
    from mlflow.models.utils import _save_example

    _save_example(model, example, folder)


def is_mlflows(error: Exception) -> bool:
    """Whether MLflow raised an error. Nothing has if it is not imported."""
    known = sys.modules.get("mlflow.exceptions")
    return known is not None and isinstance(error, known.MlflowException)


@contextmanager
def without_scan_of_packages() -> Iterator[None]:
    """Inside the block, MLflow compares a model's requirements with installed versions without listing every file of every package.

    The list takes half a second of processor time. MLflow uses it only for packages whose module has another name.
    """
    from mlflow.utils import requirements_utils

    before = requirements_utils._MODULES_TO_PACKAGES
    requirements_utils._MODULES_TO_PACKAGES = before or {}
    try:
        yield
    finally:
        requirements_utils._MODULES_TO_PACKAGES = before
