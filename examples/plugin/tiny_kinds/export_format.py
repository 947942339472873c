"""An export format: TorchScript."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema

NAMES = "features.json"


class Script(ExportFormat):
    """Read by ``torch.jit.load``."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        buffer = io.BytesIO()
        traced = torch.jit.trace(module, schema.rows[:2])
        torch.jit.save(traced, buffer, _extra_files={NAMES: json.dumps(schema.names)})
        return buffer.getvalue()

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        return torch.jit.load(io.BytesIO(data))

    def feature_names(self, data: bytes) -> list[str]:
        extra = {NAMES: ""}
        torch.jit.load(io.BytesIO(data), _extra_files=extra)
        return json.loads(extra[NAMES])


SCRIPT = Script()
