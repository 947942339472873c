"""Import ``package.module:function``, and describe exceptions of user code in one line."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from dfkd_tune.errors import DfkdError
from dfkd_tune.utils.user_code import setting_up

MODULE_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MOST_LINE_CHARACTERS = 200
"""Longest quotation of an exception's message, in characters."""
MOST_NAMES = 10
"""Most functions of a module that a message names."""
TAIL_CHARACTERS = 100_000
"""Number of characters at the end of a message that are examined."""
ASIDE = re.compile(
    r"^(File \"|Traceback |frame #|#\d+ |at 0x|Exception raised from |\(?Triggered internally|Serialized )"
    r"|^(Please |See |For more |For further |Check the documentation|Check out |Hint: |Note: |Run with )|https?://\S+[.)]?$"
    r"|^[~^\s.]*(<--- HERE)?$|<--- HERE$"
)
"""Lines of a message that do not give the reason, such as stack frames and links."""


def importable_from(folder: Path) -> None:
    """Make modules in a folder importable, for module paths in a study file of that folder."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)


def import_object(path: str, error: type[DfkdError]) -> Callable[..., Any]:
    """Import a function. Modules in the working directory can be imported, as with ``python -m``.

    Raises:
        error: the import fails, the name does not exist, or it is not callable.
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
        raise error(path, f"module {module_name} has no {name}", remedy=f"its functions: {_functions(module)}")
    found = getattr(module, name)
    if not callable(found):
        raise error(path, f"{name} is a {type(found).__name__}, not a function")
    return found


def _functions(module: ModuleType) -> str:
    """The functions that a module defines itself, without private ones."""
    own = (name for name, each in vars(module).items() if getattr(each, "__module__", None) == module.__name__)
    public = [name for name in own if callable(getattr(module, name)) and not name.startswith("_")]
    return ", ".join(public[:MOST_NAMES]) + (", ..." if len(public) > MOST_NAMES else "") or "none"


def raised(problem: BaseException) -> str:
    """Describe an exception of user code as the end of a sentence: ``raised ValueError: ...``."""
    words = one_line(problem)
    return f"raised {type(problem).__name__}" + (f": {words}" if message(problem).strip() else "")


def message(problem: BaseException) -> str:
    """The message of an exception; empty if its ``__str__`` fails."""
    try:
        return str(problem)
    except Exception:
        return ""


def one_line(problem: BaseException) -> str:
    """The reason of an exception, printable, in at most ``MOST_LINE_CHARACTERS`` characters.

    It is the class name if there is no message. A short message is kept whole. Of a long one the last sentences are
    kept, because libraries state the reason last. Stack frames, carets and links to documentation are left out.
    """
    lines = [" ".join(line.split()) for line in message(problem)[-TAIL_CHARACTERS:].splitlines()]
    reasons = [line for line in lines if re.search(r"\w", line) and not ASIDE.search(line)] or [
        line for line in lines if line
    ]
    whole = " ".join(reasons)
    if len(whole) > MOST_LINE_CHARACTERS:
        whole = _last(
            re.split(
                r"(?<=[.!?;])\s+",
                reasons[-1] if len(reasons[-1]) > MOST_LINE_CHARACTERS // 8 else " ".join(reasons[-2:]),
            )
        )
    return (
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in whole) or type(problem).__name__
    )


def _last(sentences: list[str]) -> str:
    """As many of the last sentences as fit; the end of the last one if it does not fit."""
    kept = sentences[-1]
    for sentence in reversed(sentences[:-1]):
        if len(sentence) + len(kept) >= MOST_LINE_CHARACTERS:
            break
        kept = f"{sentence} {kept}"
    return kept if len(kept) <= MOST_LINE_CHARACTERS else f"... {kept[-MOST_LINE_CHARACTERS + 4 :]}"
