"""Conformance tests of export formats and teacher formats."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.mlp import MLP
from dfkd_tune.teachers.formats.kinds import format_of
from dfkd_tune.teachers.loader import load_teacher

NAMES = ["load", "température", "a b", "x,y"]


def check_export(kind: str) -> None:
    """Check that a student written and read by an export format has the same outputs, for any number of rows, and feature names.

    Args:
        kind: registered name of the format.
    """
    form = EXPORTS[kind]
    encoding = Encoding([1.0, -2.0, 0.0, 9.0], [2.0, 0.5, 1.0, 3.0])
    weights = MLP(width=5).init_params(4, 2, torch.Generator().manual_seed(0), torch.float64)
    shift, spread = torch.tensor([7.0, -1.0]), torch.tensor([0.1, 40.0])
    module = MLP(width=5).module(weights, encoding, shift.double(), spread.double())
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    data = form.write(module, InputSchema(NAMES, encoding, rows))
    assert isinstance(data, bytes) and data
    other = MLP(width=5).module([torch.zeros_like(w) for w in weights], encoding, shift.double(), spread.double())
    answer = form.read(data, other)  # what is read comes from the file
    for x in (rows, rows[:1]):
        with torch.no_grad():
            torch.testing.assert_close(answer(x), module(x), rtol=1e-5, atol=1e-5)


def check_teacher_format(file: Path, answers: nn.Module, features: int) -> None:
    """Check that a file loads as a teacher with the outputs of the saved model, and that its hash stays the same.

    Args:
        file: a file of the format, with one of its suffixes.
        answers: the saved model, from raw rows ``(N, D)`` to outputs ``(N, O)``.
        features: number of features D.
    """
    assert format_of(file.suffix) is not None, f"no format reads {file.suffix}"
    teacher = load_teacher(file)
    x = torch.randn(9, features, generator=torch.Generator().manual_seed(0)).to(teacher.dtype)
    with torch.no_grad():
        expected = answers(x)
        torch.testing.assert_close(teacher(x), expected.reshape(len(x), -1).to(teacher(x).dtype), rtol=1e-5, atol=1e-6)
    assert len(teacher.sha256) == 64 and load_teacher(file).sha256 == teacher.sha256
