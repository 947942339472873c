"""``.pt2``: an exported program of ``torch.export``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.ops.pt2_archive import to_pt2


class PT2(ExportFormat):
    """Loaded by ``torch.export.load``; its extra file ``features.json`` holds the feature names."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The archive."""
        return to_pt2(module, schema.rows[:2], {"features.json": json.dumps(schema.names)})

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The exported program as a module."""
        return torch.export.load(io.BytesIO(data)).module()
