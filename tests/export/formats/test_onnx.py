"""``.onnx`` files of students of other kinds answer as the student does."""

import onnx
import pytest
import torch
from exported import UNITS, answers_of, rbf, rows
from small_students import CASES, made, schema

from dfkd_tune.export.export import export

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("kind, options", CASES)
def test_a_value_that_is_no_number_gives_none(kind, options, tmp_path):
    network = made(kind, **options)
    export(network, schema(), "onnx", tmp_path / "pump.onnx")
    x = schema().rows.clone()
    x[:3] = torch.where(torch.eye(13, dtype=torch.bool)[[0, 5, 12]], torch.nan, x[:3])
    answers = answers_of(tmp_path / "pump.onnx")[0](x)
    assert bool(answers[1:3].isnan().all())  # not every student looks at the first step of a window
    torch.testing.assert_close(answers, network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_onnx_of_students_of_other_kinds(tmp_path):
    bumps = rbf()
    export(bumps, UNITS, "pt2", tmp_path / "bumps.pt2")
    again = torch.export.load(tmp_path / "bumps.pt2").module()  # as a run keeps it, there being no architecture file
    for name, module in {"bumps": bumps, "again": again}.items():
        export(module, UNITS, "onnx", tmp_path / f"{name}.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / f"{name}.onnx"), full_check=True)
        with torch.no_grad():
            torch.testing.assert_close(answers_of(tmp_path / f"{name}.onnx")[0](rows()), bumps(rows()))
