"""``.pt2``: a program of ``torch.export``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.students.pt2_archive import to_pt2


class PT2(ExportFormat):
    """Read by ``torch.export.load``; ``features.json`` in it holds the names of the features."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The archive."""
        return to_pt2(module, schema.rows[:2], {"features.json": json.dumps(schema.names)})

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The program in it."""
        return torch.export.load(io.BytesIO(data)).module()
