"""Private parts of MLflow. They are imported inside functions, because the import of MLflow takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

USED = (
    "mlflow.tracking._tracking_service.utils:_use_tracking_uri",
    "mlflow.models.utils:_save_example",
    "mlflow.utils.requirements_utils:_MODULES_TO_PACKAGES",
)
"""``module:name`` of each private part."""


def use_tracking_uri(uri: str) -> AbstractContextManager[None]:
    """Set MLflow's global tracking URI inside the block."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    return _use_tracking_uri(uri)


def save_example(model: Any, example: Any, folder: str) -> None:
    """Save the input example of an ``mlflow.models.Model`` in its folder, without inferring a signature."""
    from mlflow.models.utils import _save_example

    _save_example(model, example, folder)


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
