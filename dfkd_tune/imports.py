"""``package.module:function``: the only code of a user that ever runs, because it was named."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from .confined import setting_up
from .errors import DfkdError

MODULE_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def importable_from(folder: Path) -> None:
    """Let module paths of a study file name modules beside it."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)


def named(path: str, error: type[DfkdError]) -> Callable:
    """Import a function; the working directory is importable, as it is for ``python -m``.

    Raises:
        error: when the import or the name fails, or the name is no function.
    """
    module_name, name = path.split(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with setting_up():
            module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except ImportError as problem:
        raise error(path, f"cannot be imported: {one_line(problem)}") from None
    except BaseException as problem:
        raise error(path, f"its import {raised(problem)}") from problem
    if not hasattr(module, name):
        raise error(path, f"module {module_name} has no {name}")
    found = getattr(module, name)
    if not callable(found):
        raise error(path, f"{name} is a {type(found).__name__}, not a function")
    return found


def raised(problem: BaseException) -> str:
    """What a user's code did instead of answering, in words that follow its name."""
    words = one_line(problem)
    return f"raised {type(problem).__name__}" + (f": {words}" if str(problem).strip() else "")


def one_line(problem: BaseException) -> str:
    """The first line of an exception's message, or its class where it has none."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
