"""``.onnx`` files of students of other kinds answer as the student does."""

import onnx
import pytest
import torch
from exported import UNITS, answers_of, rbf, rows

from dfkd_tune.export.export import export

pytestmark = pytest.mark.usefixtures("undrawn")


def test_onnx_of_students_of_other_kinds(tmp_path):
    bumps = rbf()
    export(bumps, UNITS, "pt2", tmp_path / "bumps.pt2")
    again = torch.export.load(tmp_path / "bumps.pt2").module()  # as a run keeps it, there being no architecture file
    for name, module in {"bumps": bumps, "again": again}.items():
        export(module, UNITS, "onnx", tmp_path / f"{name}.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / f"{name}.onnx"), full_check=True)
        with torch.no_grad():
            torch.testing.assert_close(answers_of(tmp_path / f"{name}.onnx")[0](rows()), bumps(rows()))
