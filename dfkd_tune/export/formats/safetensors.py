"""``.safetensors``: only weights, with an architecture file beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from dfkd_tune.export.formats.base import ExportFormat

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dfkd_tune.export.schema import InputSchema


class SafeTensors(ExportFormat):
    """Loaded by ``safetensors.torch.load``; its metadata hold the feature names.

    The network takes rows. Where the teacher does not, the metadata hold how its arguments and outputs lie in them.
    """

    holds_graph: ClassVar[bool] = False
    precisions: ClassVar[tuple[str, ...]] = ("float32",)

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The weights as safetensors."""
        from safetensors.torch import save

        state = {name: value.contiguous() for name, value in module.state_dict().items()}
        layout = {} if schema.layout is None else {"layout": json.dumps(schema.layout.tree())}
        return save(state, metadata={"features": json.dumps(schema.names)} | layout)

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The network, evaluated with these weights."""
        import torch
        from safetensors.torch import load

        return lambda x: torch.func.functional_call(module, load(data), (x,))

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the file's metadata."""
        size = int.from_bytes(data[:8], "little")
        return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["features"])
