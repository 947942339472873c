"""Teachers by module path: ``package.module:function`` returns the model. The only code that runs, as it was named."""

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
    """Import the module, call the function without arguments, take the module or callable it returns.

    The working directory is importable, as it is for ``python -m``.

    Raises:
        TeacherError: when the import, the name or the call fails.
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
    """Whether a model can be asked; what it answers is checked when it is."""
    return callable(model)


def _code(factory: Callable[..., Any], source: str) -> str:
    try:
        return inspect.getsource(factory)
    except (OSError, TypeError):  # made by exec, by functools.partial, in C
        return source
