"""Tags for MLflow runs that are started inside a study: the entry point ``mlflow.run_context_provider``."""

from __future__ import annotations

from importlib.metadata import version

from mlflow.tracking.context.abstract_context import RunContextProvider

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import current


class StudyContext(RunContextProvider):
    """Tags runs started inside a study with the study's name and this package's version. Other runs get no tags."""

    def in_context(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        """Whether this thread runs a study."""
        return current() is not None

    def tags(self) -> dict[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        """``dfkd.version``, and the tags of the study."""
        return {tag.VERSION: version("dfkd-tune"), **(current() or {})}
