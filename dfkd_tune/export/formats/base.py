"""The interface of an export format: one file that loads without this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from dfkd_tune.export.schema import InputSchema


class ExportFormat(ABC):
    """How a student becomes one file, and how somebody without this package reads it."""

    holds_graph: ClassVar[bool] = True
    """Whether the file says how to compute. Otherwise it holds weights alone: an architecture file is written beside it, and
    ``--precision`` does not apply."""

    @abstractmethod
    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The content of the file.

        Args:
            module: from raw rows ``(N, D)`` to raw outputs ``(N, O)``, in evaluation mode.
            schema: names, encoding and example rows of its inputs.

        Raises:
            ExportError: a package is missing, or a layer has no counterpart in the format.
        """

    @abstractmethod
    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The content as a function of raw rows, read as a user reads it.

        Args:
            data: what ``write`` gave.
            module: the same architecture, for formats that hold weights alone.
        """
