"""The registry of export formats by name; ``base`` has the interface."""

from dfkd_tune.export.formats.base import ExportFormat
from dfkd_tune.export.formats.onnx import ONNX
from dfkd_tune.export.formats.pt2 import PT2
from dfkd_tune.export.formats.safetensors import SafeTensors
from dfkd_tune.utils.plugins import Registry

EXPORTS: Registry[ExportFormat] = Registry(
    "exports", ExportFormat, {"pt2": PT2(), "onnx": ONNX(), "safetensors": SafeTensors()}
)
