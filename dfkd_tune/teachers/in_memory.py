"""Teachers given as Python objects: kept as a file where a format holds them, queried in this process alone elsewhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts import nested
from dfkd_tune.layouts.calls import export_call
from dfkd_tune.layouts.signature import Signature
from dfkd_tune.locations.files import write_output
from dfkd_tune.ops.pt2_archive import call_to_pt2, to_pt2
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes, hash_module
from dfkd_tune.teachers.black_box import OfEither, from_estimator
from dfkd_tune.teachers.formats.dtypes import likely_dtype, settled, taken_by
from dfkd_tune.teachers.loader import load_teacher, prepared
from dfkd_tune.teachers.probe import infer_width
from dfkd_tune.teachers.signatures.arranged import unknown_shapes
from dfkd_tune.teachers.signatures.example_inputs import signature_of
from dfkd_tune.teachers.sources import IN_MEMORY
from dfkd_tune.utils.object_reference import one_line

TOLERANCE = 1e-4
"""Largest difference between a kept teacher and the object it was made from, over the largest output."""


@dataclass(frozen=True)
class Given:
    """A teacher as a study names it.

    Args:
        path: model file, URI or ``package.module:function``; ``in memory: NAME`` if no file holds it.
        teacher: the teacher, if no file holds it.
        reason: why no file holds it.
    """

    path: str
    teacher: Teacher | None = None
    reason: str | None = None


def own_signature(model: Any, example: Any = None) -> Signature | None:
    """The signature of a module or function that was given in Python; None for other teachers, and for one that takes rows.

    Args:
        model: as for ``given``.
        example: example inputs, as for ``example_inputs.signature_of``, whose errors this raises.
    """
    if isinstance(model, str | Path | Teacher) or callable(getattr(model, "predict", None)) or not callable(model):
        return None
    dtype = likely_dtype(model) if isinstance(model, nn.Module) else taken_by(model)
    signature = signature_of(_source(model), model, example, dtype)
    return None if signature is not None and signature.flat else signature


def given(model: Any, folder: Path, rows: Tensor | None = None, signature: Signature | None = None) -> Given:
    """Name a teacher that was given in Python, and write a module or an estimator into ``folder``.

    Args:
        model: a path, a URI, ``package.module:function``, a loaded ``Teacher``, an ``nn.Module``, a fitted estimator, or a
            function of arrays or tensors ``(N, D)``. A module is copied; the original is not changed.
        folder: folder of kept teachers; a file is named by its content.
        rows: ``(2, D)`` raw rows to export a module with, float64; default: zeros, of the width that the module accepts.
        signature: the arguments of a module or function that takes others than rows; ``rows`` hold them as its layout says.

    Raises:
        TeacherError: the object is no teacher, or cannot be queried.
    """
    if signature is not None and not signature.complete:
        raise unknown_shapes(Teacher(_source(model), model, torch.float32, "", signature=signature))
    if isinstance(model, str | Path):
        return Given(str(model))
    if isinstance(model, Teacher):
        return Given(model.source, model, "it was given as a loaded Teacher")
    if isinstance(model, nn.Module):
        return _module(model, folder, rows, signature)
    if callable(getattr(model, "predict", None)):
        return _estimator(model, folder)
    if callable(model):
        return _function(model, rows, signature)
    rule = f"is a {type(model).__name__}, which is no teacher"
    raise TeacherError(
        "teacher", rule, remedy="give a path, an nn.Module, a fitted estimator, or a function of rows (N, D)"
    )


def _source(model: Any) -> str:
    """The source of a teacher that no file holds."""
    return f"{IN_MEMORY}{getattr(model, '__name__', type(model).__name__)}"


def _module(model: nn.Module, folder: Path, rows: Tensor | None, signature: Signature | None) -> Given:
    copy = freeze(_copied(model, _source(model)))
    teacher = Teacher(_source(model), copy, likely_dtype(copy), hash_module(copy), signature=signature)
    teacher = prepared(teacher)
    if rows is None:
        rows = torch.zeros(2, infer_width(teacher), dtype=torch.float64)
    teacher = settled(teacher, rows) if teacher.layout is None else teacher
    examples = rows.to(teacher.dtype)
    try:
        if teacher.layout is None:
            data = to_pt2(copy, examples)
        else:
            data = call_to_pt2(copy, *export_call(teacher.layout, examples))
    except Exception as error:
        return _unkept(teacher, f"torch.export refused it: {one_line(error)}")
    file = _kept(folder, data, f"{type(model).__name__}-{hash_bytes(data)[:12]}.pt2")
    return _checked(file, teacher, examples)


def _copied(model: nn.Module, source: str) -> nn.Module:
    """A copy of a module; the modules that ``deepcopy`` refuses hold tensors with a gradient history."""
    try:
        return deepcopy(model)
    except Exception:
        try:
            written = io.BytesIO()
            torch.save(model, written)
            written.seek(0)
            return torch.load(written, weights_only=False)
        except Exception as error:
            remedy = "save it with torch.export, and give the path"
            raise TeacherError(source, f"cannot be copied: {one_line(error)}", remedy=remedy) from None


def _estimator(model: Any, folder: Path) -> Given:
    import joblib

    key = str(joblib.hash(model))
    teacher = from_estimator(f"{IN_MEMORY}{type(model).__name__}", model, key)
    try:
        from skops.io import dumps
    except ImportError:
        return _unkept(teacher, "skops is not installed; pip install 'dfkd-tune[skops]'")
    file = folder / f"{type(model).__name__}-{key[:12]}.skops"
    try:
        if not file.exists():  # skops writes other bytes each time
            _kept(folder, dumps(model), file.name)
    except Exception as error:
        return _unkept(teacher, f"skops refused it: {one_line(error)}")
    try:
        load_teacher(file)
    except TeacherError as error:
        file.unlink(missing_ok=True)
        return _unkept(teacher, f"it {error.rule}")
    return Given(str(file))


def _function(function: Callable[..., Any], rows: Tensor | None, signature: Signature | None) -> Given:
    if signature is None and (path := _module_path(function)) is not None:
        return Given(path)
    teacher = prepared(Teacher(_source(function), OfEither(function), taken_by(function), "", signature=signature))
    if rows is None:
        rows = torch.zeros(2, infer_width(teacher), dtype=torch.float64)
    if teacher.layout is None:
        rows = torch.randn(16, rows.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    teacher = replace(teacher, sha256=_answers_hash(teacher, rows))
    return _unkept(teacher, "it is a lambda, a closure, or a function of this script")


def _answers_hash(teacher: Teacher, rows: Tensor) -> str:
    """SHA-256 of answers to fixed rows: a function has no file, and its code does not show the values that it uses."""
    with torch.no_grad():
        returned = teacher.guard.once(teacher.source, teacher.function, rows.to(teacher.dtype))
    parts = nested.take(returned, lambda value: isinstance(value, Tensor)).leaves
    answers = torch.cat([part.double().flatten() for part in parts])
    unit = float(answers.nan_to_num().abs().max()) or 1.0
    return hash_bytes((answers / unit * 1e4).nan_to_num().round().long().numpy().tobytes())


def _module_path(function: Callable[..., Any]) -> str | None:
    """``package.module:function`` of a function that another process can import; None for any other."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module is None or module == "__main__" or not name.isidentifier():
        return None
    return f"{module}:{name}" if getattr(sys.modules.get(module), name, None) is function else None


def _checked(file: Path, teacher: Teacher, examples: Tensor) -> Given:
    """The kept file, if it loads and answers as the object does."""
    try:
        loaded = load_teacher(file)
        with torch.no_grad():
            theirs, ours = loaded(examples), prepared(teacher)(examples)
    except TeacherError as error:
        file.unlink(missing_ok=True)
        return _unkept(teacher, f"its file was refused: {error.rule}")
    if float((theirs - ours).abs().max()) > TOLERANCE * float(ours.abs().max() + 1e-30):
        file.unlink(missing_ok=True)
        return _unkept(teacher, "the exported program answers differently")
    return Given(str(file))


def _kept(folder: Path, data: bytes, name: str) -> Path:
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_output(file, data)
    return file


def _unkept(teacher: Teacher, reason: str) -> Given:
    return Given(teacher.source, prepared(teacher), reason)
