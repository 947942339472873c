"""Load a teacher by module path: ``package.module:function`` returns the model. This runs the user's code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeGuard

from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, freeze, hash_bytes, hash_module
from dfkd_tune.teachers.formats.dtypes import likely_dtype, taken_by
from dfkd_tune.utils.object_reference import import_object, raised
from dfkd_tune.utils.user_code import setting_up


def load_function(source: str) -> Teacher:
    """Import the module and call the function without arguments; it returns an ``nn.Module`` or a callable.

    Modules in the working directory can be imported, as with ``python -m``.

    Raises:
        TeacherError: the import or the call fails, or the result is not callable.
    """
    factory = import_object(source, TeacherError)
    try:
        with setting_up():
            model = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TeacherError(source, f"the call {raised(error)}") from error
    if isinstance(model, nn.Module):
        model = freeze(model)
        return Teacher(source, model, likely_dtype(model), hash_module(model))
    if _answers(model):
        return Teacher(source, model, taken_by(model), hash_bytes(_code(factory, source).encode()))
    raise TeacherError(source, f"the function must return an nn.Module or a callable, returned {type(model).__name__}")


def _answers(model: object) -> TypeGuard[Callable[[Tensor], Tensor]]:
    """Whether a model can be called; its outputs are checked at each call."""
    return callable(model)


def _code(factory: Callable[..., Any], source: str) -> str:
    try:
        return inspect.getsource(factory)
    except (OSError, TypeError):  # no source: made by exec, by functools.partial or in C
        return source
