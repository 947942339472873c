"""An export format: TorchScript."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.schema import InputSchema


class Script(ExportFormat):
    """Read by ``torch.jit.load``."""

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.trace(module, schema.rows[:2]), buffer)
        return buffer.getvalue()

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        return torch.jit.load(io.BytesIO(data))


SCRIPT = Script()
