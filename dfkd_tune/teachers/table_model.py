"""``TableModel``: a model of this package that takes tables, with the interface of a scikit-learn estimator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class TableModel(ABC):
    """A model behind a teacher that takes a table, such as boosted trees, an endpoint, or a model in MLflow."""

    @property
    def takes_frames(self) -> bool:
        """Whether it takes data frames even if its columns have no names."""
        return True

    @property
    def kinds(self) -> Mapping[str, str]:
        """Name of a column -> the name of its dtype, or ``string``, as far as they are known."""
        return {}

    @abstractmethod
    def predict(self, rows: Any) -> Any:
        """Outputs ``(N,)`` or ``(N, O)`` for an array or a data frame ``(N, D)``."""
