"""``.pte``: a program for ExecuTorch on phones and embedded systems."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dfkd_tune.export.schema import InputSchema

MOST_ROWS = 1_024
"""Largest number of rows of a call: ExecuTorch plans its memory ahead."""
NAMES = "features"
"""Method of the program that returns the feature names, JSON as bytes in a tensor."""


class ExecuTorch(ExportFormat):
    """``forward`` takes rows ``(batch, D)``, at most ``MOST_ROWS`` at once, or one of a student of kind ``gru``; the method ``features``
    returns the names as bytes of JSON.
    """

    suffix: ClassVar[str | None] = "pte"
    packages: ClassVar[Mapping[str, str]] = {"executorch": "'dfkd-tune[executorch]'"}

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The program, with ExecuTorch's portable kernels."""
        self.require()
        import torch
        from executorch.exir import to_edge

        names = torch.frombuffer(bytearray(json.dumps(schema.names).encode()), dtype=torch.uint8)

        def program(rows: Tensor, shapes: Any) -> bytes:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = torch.export.export(module, (rows,), dynamic_shapes=shapes)
                return bytes(to_edge(made, constant_methods={NAMES: names}).to_executorch().buffer)

        try:
            free = program(schema.rows[:2], ({0: torch.export.Dim("batch", min=1, max=MOST_ROWS)},))
            # ExecuTorch 1.5 takes the example's number of rows for that of a recurrent network.
            return free if _Method(free).rows == MOST_ROWS else program(schema.rows[:1], None)
        except Exception as error:  # a library of many passes, each with errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            rule = f"this student cannot be written for ExecuTorch: {reason}"
            raise ExportError("--format executorch", rule, remedy="take --format pt2") from None

    def read(self, data: bytes, module: nn.Module) -> Callable[..., Any]:
        """The program in ExecuTorch's own runtime, asked for at most ``MOST_ROWS`` rows at a time."""
        import torch

        method = _Method(data)
        most = method.rows
        return lambda x: torch.cat([method(part.contiguous()) for part in x.split(most)])

    def feature_names(self, data: bytes) -> list[str]:
        """The names that the program's method returns."""
        return json.loads(bytes(_Method(data, NAMES)().tolist()))


class _Method:
    """A method of a program in ExecuTorch's runtime."""

    def __init__(self, data: bytes, name: str = "forward") -> None:
        ExecuTorch().require()
        from executorch.runtime import Runtime

        # A method points into its program, and does not keep it.
        self._program = Runtime.get().load_program(data)
        self._method: Any = self._program.load_method(name)

    def __call__(self, *given: Tensor) -> Tensor:
        # The runtime returns memory that its next call writes to.
        return self._method.execute(given)[0].clone()

    @property
    def rows(self) -> int:
        """Largest number of rows that it takes at once."""
        return int(self._method.metadata.input_tensor_meta(0).sizes()[0])
