"""The registry of export formats by name; ``base`` has the interface."""

from pathlib import Path

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.executorch import ExecuTorch
from dfkd_tune.export.formats.litert import LiteRT
from dfkd_tune.export.formats.npz.format import NumPy
from dfkd_tune.export.formats.onnx import ONNX
from dfkd_tune.export.formats.pt2 import PT2
from dfkd_tune.export.formats.safetensors import SafeTensors
from dfkd_tune.utils.plugins import Registry

EXPORTS: Registry[ExportFormat] = Registry(
    "exports",
    ExportFormat,
    {
        "pt2": PT2(),
        "onnx": ONNX(),
        "safetensors": SafeTensors(),
        "c": C(),
        "numpy": NumPy(),
        "executorch": ExecuTorch(),
        "litert": LiteRT(),
    },
)


def format_of(file: Path, kind: str | None = None) -> str:
    """The name of the format that a file is written in: ``kind``, or that of the file's suffix.

    Raises:
        ExportError: there is no such format, the suffix is that of another, or a package that it needs is not installed.
    """
    form = _named(file, kind)
    EXPORTS[form].require()
    return form


def chosen(kind: str, libm: bool = True, guard: bool = False) -> ExportFormat:
    """A format with its options; arguments and errors are those of ``export.export``."""
    known = EXPORTS[kind] if libm else EXPORTS[kind].without_libm()
    return known.guarded() if guard else known


def _named(file: Path, kind: str | None) -> str:
    suffix, known = file.suffix.removeprefix("."), ", ".join(EXPORTS)
    if kind is not None and kind not in EXPORTS:
        raise ExportError("--format", f"{kind!r} is no export format", remedy=f"known: {known}")
    own = {form.suffix: name for name, form in EXPORTS.usable() if form.suffix is not None}
    told = own.get(suffix, suffix if suffix in EXPORTS else None)
    if kind is None:
        if told is None:
            rule = f"its suffix names no export format, got {file.suffix!r}"
            raise ExportError(file, rule, remedy=f"name it so, or give --format, one of {known}")
        return told
    usual = f"{file.stem}.{EXPORTS[kind].suffix or kind}"
    if file.suffix in EXPORTS[kind].companions:
        rule = f"would be overwritten by the {file.suffix} file that lies beside a file of {kind}"
        raise ExportError(file, rule, remedy=f"name it {usual}")
    if told not in (None, kind):
        rule = f"would hold {kind} under the suffix of {told}"
        raise ExportError(file, rule, remedy=f"name it {usual}, or give --format {told}")
    return kind
