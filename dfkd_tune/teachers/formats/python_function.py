"""Load a teacher by module path: ``package.module:function`` returns the model, or is the model. This runs the user's code."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes, hash_module
from dfkd_tune.teachers.black_box import OfEither
from dfkd_tune.teachers.formats.dtypes import likely_dtype, taken_by
from dfkd_tune.teachers.signatures.example_inputs import signature_of
from dfkd_tune.utils.object_reference import import_object, raised
from dfkd_tune.utils.user_code import setting_up


def load_function(source: str) -> Teacher:
    """Import the module; call the function without arguments, or take a function of rows ``(N, D)`` as the teacher itself.

    What the call returns is an ``nn.Module``, or a function of tensors or arrays. Its attribute ``example_inputs`` gives
    the shapes and dtypes of its arguments. Modules in the working directory can be imported, as with ``python -m``.

    Raises:
        TeacherError: the import or the call fails, or the result is not callable.
    """
    factory = import_object(source, TeacherError)
    if takes_rows(factory):
        return _of_function(source, factory, factory)
    try:
        with setting_up():
            model = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TeacherError(source, f"the call {raised(error)}") from error
    if isinstance(model, nn.Module):
        model = freeze(model)
        sha256 = hash_bytes(_code(factory, source) + hash_module(model).encode())  # a layer's code may change alone
        return with_signature(Teacher(source, model, likely_dtype(model), sha256), model)
    if _answers(model):
        return _of_function(source, model, factory)
    raise TeacherError(source, f"the function must return an nn.Module or a callable, returned {type(model).__name__}")


def _of_function(source: str, function: Callable[..., Any], factory: Callable[..., Any]) -> Teacher:
    sha256 = hash_bytes(_code(factory, source))
    return with_signature(Teacher(source, OfEither(function), taken_by(function), sha256), function)


def with_signature(teacher: Teacher, model: Callable[..., Any]) -> Teacher:
    """The teacher with the signature of the module or function that it calls; errors are those of ``signature_of``."""
    signature = signature_of(teacher.source, model, dtype=teacher.dtype)
    known = signature is not None and signature.flat and signature.arguments[0].shape is not None
    return replace(teacher, signature=signature, width=signature.arguments[0].width if known and signature else None)


def takes_rows(function: Callable[..., Any]) -> bool:
    """Whether a function cannot be called without an argument; a class is always called."""
    if inspect.isclass(function) or isinstance(function, nn.Module):
        return False
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a function in C without a signature
        return False
    return False


def _answers(model: object) -> TypeGuard[Callable[[Tensor], Tensor]]:
    """Whether a model can be called; its outputs are checked at each call."""
    return callable(model)


def _code(factory: Callable[..., Any], source: str) -> bytes:
    """The files of the module that a path names and of the module that defines its function, whose helpers may change, too."""
    modules = (sys.modules.get(name) for name in (source.partition(":")[0], getattr(factory, "__module__", None) or ""))
    files = dict.fromkeys(Path(file) for module in modules if module and (file := _source_file(module)))
    return b"".join(file.read_bytes() for file in files) or source.encode()


def _source_file(module: ModuleType) -> str | None:
    """The readable source file of a module; None for one in C, in an archive, or made by ``exec``."""
    try:
        file = inspect.getsourcefile(module)
    except TypeError:
        return None
    return file if file and Path(file).is_file() else None
