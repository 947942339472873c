"""What MLflow asks for tags when somebody starts a run: the entry point ``mlflow.run_context_provider``."""

from __future__ import annotations

from importlib.metadata import version

from mlflow.tracking.context.abstract_context import RunContextProvider

from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.context import current


class StudyContext(RunContextProvider):
    """Tags runs that are started inside a study with its name and the version of this package; no other run."""

    def in_context(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        """Whether this thread is in a study."""
        return current() is not None

    def tags(self) -> dict[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]  # MLflow says no type
        """``dfkd.version``, and what is known of the study."""
        return {tag.VERSION: version("dfkd-tune"), **(current() or {})}
