"""``.tflite``: a program for LiteRT, once TensorFlow Lite, on phones and embedded systems."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from dfkd_tune.export.schema import InputSchema

NAMES = "features.json"
"""File with the feature names, in the archive at the end of the program."""


class LiteRT(ExportFormat):
    """A program for one row ``(1, D)``. As LiteRT's metadata have it, its end is a zip archive, which runtimes ignore; the file
    ``features.json`` in it has the feature names.
    """

    precisions: ClassVar[tuple[str, ...]] = (
        "float32",
    )  # the converter stores int8 weights as float32, and knows no bfloat16
    suffix: ClassVar[str | None] = "tflite"
    packages: ClassVar[Mapping[str, str]] = {
        "litert_torch": "'dfkd-tune[litert]'",
        "ai_edge_litert": "'dfkd-tune[litert]'",
    }

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The program, with the feature names at its end."""
        import torch

        self.require()
        if schema.rows.dtype != torch.float32:
            rule = f"takes float32 alone, and these inputs need {str(schema.rows.dtype).removeprefix('torch.')}"
            raise ExportError("--format litert", rule, remedy="take --format pt2")
        try:
            import litert_torch  # pyright: ignore[reportMissingImports]  # no release beside the test packages

            with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file = Path(folder, "student.tflite")
                litert_torch.convert(module, (schema.rows[:1],)).export(str(file))
                data = file.read_bytes()
        except Exception as error:  # a library of many passes, each with errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            rule = f"this student cannot be written for LiteRT: {reason}"
            raise ExportError("--format litert", rule, remedy="take --format pt2") from None
        ending = io.BytesIO()
        with zipfile.ZipFile(ending, "w") as archive:
            # A fixed time, so that the same student is the same file.
            archive.writestr(zipfile.ZipInfo(NAMES), json.dumps(schema.names))
        return data + ending.getvalue()

    def read(self, data: bytes, module: nn.Module) -> Callable[..., Any]:
        """The program in LiteRT's own interpreter, asked for one row at a time."""
        self.require()
        import numpy as np
        import torch
        from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

        run = Interpreter(model_content=data)
        run.allocate_tensors()
        into, out = run.get_input_details()[0]["index"], run.get_output_details()[0]["index"]

        def answer(row: Tensor) -> np.ndarray:
            run.set_tensor(into, row.numpy()[None])
            run.invoke()
            return run.get_tensor(out)

        return lambda x: torch.from_numpy(np.concatenate([answer(row) for row in x.contiguous()]))

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the archive at the end of the program."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return json.loads(archive.read(NAMES))
