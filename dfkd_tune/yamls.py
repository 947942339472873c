"""YAML as people write it: safe, ``1e-3`` is a number, a key given twice is an error, and errors name the line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import DfkdError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen: set = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str | int | float | bool):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Knows the same numbers, so that a word that looks like one is quoted."""


# YAML 1.1, which PyYAML follows, reads 1e-3 as a word; its author meant a number (YAML 1.2).
for kind in (_Loader, _Dumper):
    kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$|^[-+]?\.\d+([eE][-+]?\d+)?$"),
        list("-+0123456789."),
    )


def parse(text: str, place: object, error: type[DfkdError]) -> Any:
    """Parse YAML text.

    Raises:
        error: with line and column, when it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"{place}:{mark.line + 1}:{mark.column + 1}" if mark else place
        raise error(where, f"not valid YAML: {_one_line(problem.problem)}") from None
    except Exception as problem:
        # Tags such as !!int and !!timestamp on a wrong value fail with whatever Python meets first.
        raise error(place, f"not valid YAML: {_one_line(problem)}") from None


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__


def read(path: Path, error: type[DfkdError]) -> Any:
    """Read a YAML file.

    Raises:
        error: when the file is missing, unreadable, not text or not YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(path, "no such file", remedy="give a file that is there") from None
    except UnicodeDecodeError:
        raise error(path, "not a text file, so not YAML") from None
    except OSError as problem:
        raise error(path, f"cannot be read: {problem.strerror}") from None
    return parse(text, path, error)


def dump(value: Any, compact: bool = False) -> str:
    """Plain values as YAML, keys in the order given; compact: innermost lists and mappings on a line."""
    style = None if compact else False
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=style)
