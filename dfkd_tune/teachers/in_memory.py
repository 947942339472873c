"""Teachers given as Python objects: kept as a file where a format holds them, queried in this process alone elsewhere."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError, shown
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.calls import export_call
from dfkd_tune.layouts.signature import Signature
from dfkd_tune.locations.files import write_output
from dfkd_tune.locations.paths import writable
from dfkd_tune.ops.pt2_archive import call_to_pt2, to_pt2
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes
from dfkd_tune.teachers.black_box import OfEither, from_estimator
from dfkd_tune.teachers.boosted.model_files import is_boosted, model_file
from dfkd_tune.teachers.formats.dtypes import ROW_DTYPES, likely_dtype, settled, taken_by
from dfkd_tune.teachers.formats.python_function import takes_rows
from dfkd_tune.teachers.formats.skops_file import content_hash
from dfkd_tune.teachers.loader import load_teacher, prepared
from dfkd_tune.teachers.signatures.arranged import unknown_shapes
from dfkd_tune.teachers.signatures.example_inputs import signature_of
from dfkd_tune.teachers.signatures.width import infer_width
from dfkd_tune.teachers.sources import IN_MEMORY
from dfkd_tune.utils.object_reference import one_line
from dfkd_tune.utils.user_code import Confined

TOLERANCE = 1e-4
"""Largest difference between a kept teacher and the object it was made from, over the largest output."""
HASHED_ROWS = 16
"""Prior rows whose answers identify a teacher that no file holds."""


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
    """The signature of a module or function that was given in Python; None for others, and for one that takes rows.

    Args:
        model: as for ``given``.
        example: example inputs, as for ``example_inputs.signature_of``, whose errors this raises.
    """
    if not _is_asked(model):
        return None
    dtype = likely_dtype(model) if isinstance(model, nn.Module) else taken_by(model)
    signature = signature_of(_source(model), model, example, dtype)
    return None if signature is not None and signature.flat else signature


def unasked(model: Any, rows: Tensor | None, signature: Signature | None) -> Teacher | None:
    """The teacher that ``given`` asks before it names it, as far as it is known before; None for others.

    Args:
        model, rows, signature: as for ``given``.
    """
    if not _is_asked(model):
        return None
    dtype = likely_dtype(model) if isinstance(model, nn.Module) else taken_by(model)
    width = None if rows is None or signature is not None else rows.shape[1]
    return Teacher(_source(model), model, dtype, "", width=width, signature=signature)


def is_unkept(model: Any, signature: Signature | None, example: Any = None) -> bool:
    """Whether a model is a function that only this process can ask, as no file and no module path leads to it.

    Args:
        model, signature, example: as for ``given``.
    """
    return _is_asked(model) and not isinstance(model, nn.Module) and _reached(model, signature, example) is None


def given(
    model: Any, folder: Path, rows: Tensor | None = None, signature: Signature | None = None, example: Any = None
) -> Given:
    """Name a teacher that was given in Python, and write a module or an estimator into ``folder``.

    Args:
        model: a path, a URI, ``package.module:function``, a loaded ``Teacher``, an ``nn.Module``, a fitted estimator, or a
            function of arrays or tensors ``(N, D)``. A module is copied; the original is not changed.
        folder: folder of kept teachers; a file is named by its content.
        rows: ``(2, D)`` raw rows to export a module with, float64; default: zeros, of the width that the module accepts.
        signature: the arguments of a module or function that takes others than rows; ``rows`` hold them as its layout says.
        example: example inputs that tell the signature beside the object; None if its attribute ``example_inputs`` does.

    Raises:
        TeacherError: the object is no teacher, or cannot be queried.
    """
    if signature is not None and not signature.complete:
        raise unknown_shapes(Teacher(_source(model), model, torch.float32, "", signature=signature))
    if isinstance(model, str | Path):
        return Given(str(model))
    if isinstance(model, Teacher):
        kept = not model.source.startswith(IN_MEMORY)
        return Given(model.source, model, None if kept else "it was given as a loaded Teacher")
    if inspect.isclass(model):
        rule, remedy = f"is the class {model.__name__}", "give an object of it, fitted or with its weights"
        raise TeacherError("teacher", rule, remedy=remedy)
    if isinstance(model, torch.jit.ScriptModule) and signature is None:
        return _script(model, folder)
    if isinstance(model, nn.Module):
        return _module(model, folder, rows, signature)
    if callable(getattr(model, "predict", None)):
        model = getattr(
            model, "best_estimator_", model
        )  # a search also holds the times of its fits, which differ each time
        return _boosted(model, folder) or _estimator(model, folder)
    if callable(model):
        return _function(model, rows, signature, example)
    rule = f"is of type {type(model).__name__}, which is no teacher"
    remedy = "give a path, an nn.Module, a fitted estimator, or a function of rows (N, D)"
    if isinstance(model, Mapping):
        remedy = "load a state dict into its nn.Module, and give the module"
    raise TeacherError("teacher", rule, remedy=remedy)


def identified(teacher: Teacher, inputs: Inputs) -> Teacher:
    """The teacher with the SHA-256 of its answers to fixed prior rows, if it has no other: its code does not show all that it uses."""
    if teacher.sha256:
        return teacher
    rows = inputs.raw(inputs.draw(HASHED_ROWS, torch.Generator().manual_seed(0)), teacher.dtype)
    with torch.no_grad():
        answers = teacher(rows).double()
    unit = float(answers.nan_to_num().abs().max()) or 1.0
    digits = (answers / unit * 1e4).nan_to_num().round().long()  # rounding of the last digits is no other teacher
    return replace(teacher, sha256=hash_bytes(digits.numpy().tobytes() + f"{unit:.4g}".encode()))


def _is_asked(model: Any) -> bool:
    """Whether a model is a module or a function, which ``given`` asks."""
    known = isinstance(model, str | Path | Teacher) or inspect.isclass(model)
    return not known and not callable(getattr(model, "predict", None)) and callable(model)


def _source(model: Any) -> str:
    """The source of a teacher that no file holds."""
    return f"{IN_MEMORY}{getattr(model, '__name__', type(model).__name__)}"


def _module(model: nn.Module, folder: Path, rows: Tensor | None, signature: Signature | None) -> Given:
    copy = freeze(_copied(model, _source(model)))
    teacher = Teacher(_source(model), copy, likely_dtype(copy), "", signature=signature)
    teacher = prepared(teacher)
    if rows is None:
        rows = torch.zeros(2, infer_width(teacher), dtype=torch.float64)
    teacher = settled(teacher, rows) if teacher.layout is None else teacher
    examples = rows.to(teacher.dtype)
    blank = torch.zeros_like(examples)  # the file is the same whatever is declared of the inputs
    try:
        with (
            Confined(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):  # it prints the graph up to the failure
            if teacher.layout is None:
                data = to_pt2(copy, blank)
            else:
                data = call_to_pt2(copy, *export_call(teacher.layout, blank))
    except (Exception, SystemExit) as error:  # its code may end the process; the probe reports that
        return _unkept(teacher, f"torch.export refused it: {_first_line(error)}")
    file = _kept(folder, data, f"{type(model).__name__}-{hash_bytes(data)[:12]}.pt2")
    return _checked(file, teacher, examples)


def _copied(model: nn.Module, source: str) -> nn.Module:
    """A copy of a module; the modules that ``deepcopy`` refuses hold tensors with a gradient history."""
    if isinstance(model, torch.jit.ScriptModule):  # a deep copy of one has parameters that are no leaves
        written = io.BytesIO()
        torch.jit.save(model, written)
        written.seek(0)
        return torch.jit.load(written)
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


def _script(model: torch.jit.ScriptModule, folder: Path) -> Given:
    written = io.BytesIO()
    torch.jit.save(model, written)
    data = written.getvalue()
    file = _kept(folder, data, f"TorchScript-{hash_bytes(data)[:12]}.ts")
    load_teacher(file)  # raises if it reaches beyond a network
    return Given(str(file))


def _boosted(model: Any, folder: Path) -> Given | None:
    """Boosted trees, kept in the file of their library; None for another model, and for one that this file does not hold."""
    if not is_boosted(model):
        return None
    try:
        suffix, data = model_file(model)
    except Exception:  # it is not fitted, which the probe reports
        return None
    file = _kept(folder, data, f"{type(model).__name__}-{hash_bytes(data)[:12]}{suffix}")
    try:
        load_teacher(file)
    except TeacherError:  # as one that classifies, which is reported for the object
        file.unlink(missing_ok=True)
        return None
    return Given(str(file))


def _estimator(model: Any, folder: Path) -> Given:
    teacher = from_estimator(_source(model), model, "")
    try:
        from skops.io import dumps
    except ImportError:
        return _unkept(teacher, "skops is not installed; pip install 'dfkd-tune[skops]'")
    try:
        data = dumps(model)
        file = _kept(folder, data, f"{type(model).__name__}-{content_hash(data)[:12]}.skops")
    except Exception as error:
        return _unkept(teacher, f"skops refused it: {_first_line(error)}")
    try:
        load_teacher(file)
    except TeacherError as error:
        file.unlink(missing_ok=True)
        return _unkept(teacher, f"it {error.rule}")
    return Given(str(file))


def _function(function: Callable[..., Any], rows: Tensor | None, signature: Signature | None, example: Any) -> Given:
    if (path := _reached(function, signature, example)) is not None:
        return Given(path)
    teacher = prepared(Teacher(_source(function), OfEither(function), taken_by(function), "", signature=signature))
    if teacher.layout is None:
        if rows is None:
            rows = torch.zeros(2, infer_width(teacher), dtype=torch.float64)
        teacher = replace(_fitting(teacher, rows), width=rows.shape[1])
    if _module_path(function) is not None:
        return _unkept(teacher, "its arguments are told by example_inputs=, and not by that attribute of the function")
    return _unkept(teacher, "it is a lambda, a closure, a method, or a function of this script")


def _reached(function: Callable[..., Any], signature: Signature | None, example: Any) -> str | None:
    """The module path by which another process has the function with its signature; None without one."""
    return _module_path(function) if signature is None or example is None else None


def _fitting(teacher: Teacher, rows: Tensor) -> Teacher:
    """A function with the dtype of rows that it takes: float64 for arrays, as float32 would round what is declared."""
    failure: TeacherError | None = None
    for dtype in dict.fromkeys((teacher.dtype, *ROW_DTYPES)):
        try:
            with torch.no_grad():
                teacher.guard.once(teacher.source, teacher.function, rows.to(dtype))
        except TeacherError as error:
            failure = failure or error
            continue
        arrays = isinstance(teacher.function, OfEither) and teacher.function.takes_arrays
        return replace(teacher, dtype=torch.float64 if arrays else dtype)
    assert failure is not None  # each dtype failed
    raise failure


def _module_path(function: Callable[..., Any]) -> str | None:
    """``package.module:function`` of a function that another process can import; None for any other."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module is None or module == "__main__" or not name.isidentifier() or not takes_rows(function):
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
    if not float((theirs - ours).abs().max()) <= TOLERANCE * float(ours.abs().max() + 1e-30):  # NaN is no answer
        file.unlink(missing_ok=True)
        return _unkept(teacher, "the exported program answers differently")
    return Given(str(file))


def _kept(folder: Path, data: bytes, name: str) -> Path:
    file = folder / name
    if not file.exists():
        writable(folder)
        write_output(file, data)
    return file


def _unkept(teacher: Teacher, reason: str) -> Given:
    return Given(teacher.source, prepared(teacher), reason)


def _first_line(error: BaseException) -> str:
    """The first line of a message; torch.export follows it with advice."""
    return shown(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__))
