"""The format of a file is settled before any work for it starts."""

import sys
from pathlib import Path

import pytest
from asked import fails

from dfkd_tune.errors import ExportError
from dfkd_tune.export.formats import base
from dfkd_tune.export.formats.kinds import EXPORTS, format_of


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_format_is_named_by_the_suffix(kind, monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda package: package)  # as if every extra were installed
    assert format_of(Path(f"student.{kind}")) == format_of(Path("student"), kind) == kind


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_told_at_once(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with fails("--format", f"needs the package {package}", "dfkd-tune[onnx]", kind=ExportError):
        format_of(Path("student.onnx"))
    assert format_of(Path("student.pt2")) == "pt2"
