"""Private parts of MLflow. They are imported inside functions, because the import of MLflow takes a second."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

USED = ("mlflow.tracking._tracking_service.utils:_use_tracking_uri", "mlflow.models.utils:_save_example")
"""``module:name`` of each private part."""


def use_tracking_uri(uri: str) -> AbstractContextManager[None]:
    """Set MLflow's global tracking URI inside the block."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    return _use_tracking_uri(uri)


def save_example(model: Any, example: Any, folder: str) -> None:
    """Save the input example of an ``mlflow.models.Model`` in its folder, without inferring a signature."""
    from mlflow.models.utils import _save_example

    _save_example(model, example, folder)
