"""``.pt2``: an exported program of ``torch.export``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from dfkd_tune.export.formats.base import ExportFormat

if TYPE_CHECKING:
    from torch import nn

    from dfkd_tune.export.schema import InputSchema

NAMES = "features.json"
"""Extra file of the archive with the feature names."""


class PT2(ExportFormat):
    """Loaded by ``torch.export.load``; its extra file ``features.json`` holds the feature names."""

    drop_in: ClassVar[bool] = True

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The archive."""
        from dfkd_tune.ops.pt2_archive import to_pt2
        from dfkd_tune.students.drop_in import drop_in_pt2

        about = {NAMES: json.dumps(schema.names)}
        if schema.layout is None:
            return to_pt2(schema.drop_in(module), schema.form.rows(schema.rows[:2]), about)
        return drop_in_pt2(module, schema.rows[:2], schema.layout, about)

    def read(self, data: bytes, module: nn.Module) -> Callable[..., Any]:
        """The exported program as a module."""
        import torch

        return torch.export.load(io.BytesIO(data)).module()

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the archive's extra file."""
        import torch

        extra = {NAMES: ""}
        torch.export.load(io.BytesIO(data), extra_files=extra)
        return json.loads(extra[NAMES])
