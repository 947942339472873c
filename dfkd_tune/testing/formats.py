"""Conformance tests of export formats and teacher formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from dfkd_tune.errors import DfkdError
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Output, Signature
from dfkd_tune.students.mlp import MLP
from dfkd_tune.teachers.formats.kinds import format_of
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.testing.laws import check_laws

NAMES = ["load", "température", "a b", "x,y"]
UNITS = Encoding([1.0, -2.0, 0.0, 9.0], [2.0, 0.5, 1.0, 3.0])
LAYOUT = Layout(
    Signature.positional(
        [Argument("signal", (3,), torch.float32), Argument("price", (), torch.float32)],
        [Output("power", (), torch.float32), Output("heat", (1,), torch.float32)],
    )
)
"""A teacher of two arguments and two outputs, which lie in rows of four features and two outputs."""
CHANGED = 24
"""Number of bytes of each file that are changed, one at a time."""


def check_export(kind: str) -> None:
    """Check every law of an export format, given its name."""
    check_laws(EXPORT_LAWS, kind)


def check_teacher_format(
    file: Path, answers: nn.Module, features: int, parts: Sequence[Path] = (), architecture: Path | None = None
) -> None:
    """Check every law of a teacher format on one of its files.

    Args:
        file: a file of the format, with one of its suffixes.
        answers: the saved model, from raw rows ``(N, D)`` to outputs ``(N, O)``.
        features: number of features D.
        parts: further files that ``file`` refers to, in its folder or below it.
        architecture: YAML file of the layers in the folder of ``file``, for a format that holds only weights.
    """
    assert format_of(file.suffix) is not None, f"no format reads {file.suffix}"
    check_laws([the_teacher_answers_like_the_saved_model], file, answers, features, architecture)
    check_laws(HASH_LAWS, file, parts, architecture)


def _module(zeros: bool = False) -> nn.Module:
    """A student with four features and two outputs."""
    weights = MLP(width=5).init_params(Columns(4), 2, torch.Generator().manual_seed(0), torch.float64)
    shift, spread = torch.tensor([7.0, -1.0]), torch.tensor([0.1, 40.0])
    weights = [torch.zeros_like(w) for w in weights] if zeros else weights
    return MLP(width=5).module(weights, Columns(4), UNITS, shift.double(), spread.double())


def _rows() -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(1))


def a_file_answers_like_its_student(kind: str) -> None:
    """A student that is written and read has the same outputs, for any number of rows."""
    module, rows = _module(), _rows()
    data = EXPORTS[kind].write(module, InputSchema(NAMES, UNITS, rows))
    assert isinstance(data, bytes) and data
    answer = EXPORTS[kind].read(data, _module(zeros=True))  # what is read comes from the file
    for x in (rows, rows[:1]):
        with torch.no_grad():
            torch.testing.assert_close(answer(x), module(x), rtol=1e-5, atol=1e-5)


def a_file_holds_the_feature_names(kind: str) -> None:
    """``feature_names`` returns the names that were written, in their order, whatever letters they have."""
    for names in (NAMES, NAMES[::-1]):
        data = EXPORTS[kind].write(_module(), InputSchema(names, UNITS, _rows()))
        assert EXPORTS[kind].feature_names(data) == names, f"a file of {kind} does not hold the feature names"


def a_drop_in_file_is_called_as_the_teacher(kind: str) -> None:
    """The file of a format with ``drop_in`` takes the teacher's arguments and returns its outputs; that of any other takes rows."""
    module, rows = _module(), _rows()
    schema = InputSchema(NAMES, UNITS, rows, LAYOUT)
    answer = EXPORTS[kind].read(EXPORTS[kind].write(module, schema), _module(zeros=True))
    for x in (rows, rows[:1]):
        with torch.no_grad():
            found = LAYOUT.flat(answer)(x) if EXPORTS[kind].drop_in else answer(x)
            torch.testing.assert_close(found, module(x), rtol=1e-5, atol=1e-5)


EXPORT_LAWS: tuple[Callable[[str], None], ...] = (
    a_file_answers_like_its_student,
    a_file_holds_the_feature_names,
    a_drop_in_file_is_called_as_the_teacher,
)


def the_teacher_answers_like_the_saved_model(
    file: Path, answers: nn.Module, features: int, architecture: Path | None = None
) -> None:
    """A file loads as a teacher with the outputs of the saved model."""
    teacher = load_teacher(file, architecture)
    x = torch.randn(9, features, generator=torch.Generator().manual_seed(0)).to(teacher.dtype)
    with torch.no_grad():
        expected = answers(x)
        torch.testing.assert_close(teacher(x), expected.reshape(len(x), -1).to(teacher(x).dtype), rtol=1e-5, atol=1e-6)


def equal_files_have_equal_hashes(file: Path, parts: Sequence[Path] = (), architecture: Path | None = None) -> None:
    """The hash is a SHA-256 that depends on the bytes alone, not on the folder or the times of the files."""
    known = load_teacher(file, architecture).sha256
    assert len(known) == 64 and load_teacher(file, architecture).sha256 == known
    with TemporaryDirectory() as folder:
        copy, described = _copied(file, parts, architecture, Path(folder))
        assert load_teacher(copy, described).sha256 == known, "equal files in another folder have another hash"


def every_byte_counts_in_the_hash(file: Path, parts: Sequence[Path] = (), architecture: Path | None = None) -> None:
    """A model that differs in one byte of one of its files has another hash, or is refused in one line."""
    known = load_teacher(file, architecture).sha256
    with TemporaryDirectory() as folder:
        copy, described = _copied(file, parts, architecture, Path(folder))
        for changed in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
            data = changed.read_bytes()
            for at in sorted({*range(0, len(data), max(1, len(data) // CHANGED)), len(data) - 1}):
                changed.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
                try:
                    found = load_teacher(copy, described).sha256
                except DfkdError:
                    continue
                assert found != known, f"byte {at} of {changed.name} does not count in the hash"
            changed.write_bytes(data)


HASH_LAWS: tuple[Callable[[Path, Sequence[Path], Path | None], None], ...] = (
    equal_files_have_equal_hashes,
    every_byte_counts_in_the_hash,
)


def _copied(file: Path, parts: Sequence[Path], architecture: Path | None, folder: Path) -> tuple[Path, Path | None]:
    """Copy a model's files into a folder; returns the paths of its main file and of its architecture there."""
    for each in (file, *parts, *((architecture,) if architecture else ())):
        there = folder / each.relative_to(file.parent)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(each, there)
    return folder / file.name, architecture and folder / architecture.relative_to(file.parent)
