"""Private parts of MLflow. They are imported where they are used, as MLflow takes a second to import."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

USED = ("mlflow.tracking._tracking_service.utils:_use_tracking_uri", "mlflow.models.utils:_save_example")
"""``module:name`` of each."""


def use_tracking_uri(uri: str) -> AbstractContextManager[None]:
    """Within, MLflow's global tracking store is at ``uri``."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    return _use_tracking_uri(uri)


def save_example(model: Any, example: Any, folder: str) -> None:
    """Write the input example of an ``mlflow.models.Model`` beside it, without its inferring a signature."""
    from mlflow.models.utils import _save_example

    _save_example(model, example, folder)
