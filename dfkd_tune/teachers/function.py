"""Teachers by module path: ``package.module:function`` returns the model. The only code that runs, as it was named."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..errors import TeacherError
from .base import Teacher, dtype_of, freeze, hash_bytes, hash_module, one_line


def load_function(source: str) -> Teacher:
    """Import the module, call the function without arguments, take the module or callable it returns.

    The working directory is importable, as it is for ``python -m``.

    Raises:
        TeacherError: when the import, the name or the call fails.
    """
    module_name, name = source.split(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TeacherError(source, f"cannot be imported: {one_line(error)}") from None
    except (Exception, SystemExit) as error:
        raise TeacherError(source, f"its import raised {type(error).__name__}: {one_line(error)}") from error
    if not hasattr(module, name):
        raise TeacherError(source, f"module {module_name} has no {name}")
    factory = getattr(module, name)
    if not callable(factory):
        raise TeacherError(source, f"{name} is a {type(factory).__name__}, not a function")
    try:
        model = factory()
    except (Exception, SystemExit) as error:
        raise TeacherError(source, f"the call raised {type(error).__name__}: {one_line(error)}") from error
    if isinstance(model, nn.Module):
        model = freeze(model)
        return Teacher(source, model, dtype_of(model), hash_module(model))
    if callable(model):
        return Teacher(source, model, torch.float32, hash_bytes(_code(factory, source).encode()))
    raise TeacherError(source, f"{name}() must return an nn.Module or a callable, returned {type(model).__name__}")


def _code(factory: Callable, source: str) -> str:
    try:
        return inspect.getsource(factory)
    except (OSError, TypeError):  # made by exec, by functools.partial, in C
        return source
