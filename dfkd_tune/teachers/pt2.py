"""Teachers saved by ``torch.export.save``.

``torch.export.load`` of 2.13 executes text from the archive (``guards_code``), evaluates its symbolic expressions, resolves
operator names anywhere below ``torch`` and unpickles constants. Archives from strangers are therefore read in a
copy without guards, after every name in them was held against what an exported network needs.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import TeacherError
from .base import Teacher, dtype_of, hash_bytes

ENTRY = re.compile(
    r"[^/]+/((models/\w+\.json)|(data/weights/(weight_\d+|\w+_config\.json))"
    r"|(data/constants/(tensor_\d+|\w+_config\.json))|(data/sample_inputs/\w+\.pt)|archive_format|archive_version|byteorder"
    r"|\.data/\w+|\.format_version|version|extra/[\w./-]*)"
)
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|higher_order)\.\w+(\.\w+)?|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_\w+|math\.(ceil|floor|sqrt)"
)
SYMBOLS = {"Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "PythonMod", "FloorDiv", "CeilDiv", "Max", "Min",
           "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "int_oo", "oo", "IntInfinity",
           "NegativeIntInfinity", "true", "false"}
EXPRESSION = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add,
              ast.Sub, ast.Mult, ast.Div, ast.Pow)


def load_pt2(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A ``.pt2`` file, on the CPU whatever device it was saved from.

    Raises:
        TeacherError: when it is cut short, of another kind, or holds anything beyond a network.
    """
    data = path.read_bytes()
    try:
        archive = data if trust_pickle else _without_code(data, path)
        with warnings.catch_warnings(), _weights_only(not trust_pickle), _quiet():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(archive))
            if any(t.device.type != "cpu" for t in program.state_dict.values()):
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, "cpu")
            module = program.module(check_guards=False)
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(path, f"not a .pt2 file, or cut short ({_first_line(error)})") from None
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Teacher(str(path), module, dtype_of(module), hash_bytes(data))


def _without_code(data: bytes, path: Path) -> bytes:
    try:
        source = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise TeacherError(path, "not a .pt2 file, or cut short") from None
    cleaned = io.BytesIO()
    with source, zipfile.ZipFile(cleaned, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not ENTRY.fullmatch(name):
                raise _foreign(path, f"archive entry {name!r}")
            content = source.read(name)
            if "/models/" in name:
                tree = json.loads(content)
                _check(tree, path)
                tree["guards_code"] = []
                content = json.dumps(tree).encode()
            target.writestr(name, content)
    return cleaned.getvalue()


def _check(tree: Any, path: Path) -> None:
    if isinstance(tree, dict):
        target = tree.get("target")
        if isinstance(target, str) and "inputs" in tree and not OPERATOR.fullmatch(target):
            raise _foreign(path, f"operator {target!r}")
        expression = tree.get("expr_str")
        if isinstance(expression, str) and not _is_arithmetic(expression):
            raise _foreign(path, f"expression {expression!r}")
        for key, value in tree.items():
            if key == "range_constraints" and isinstance(value, dict):
                for symbol in value:
                    if not _is_arithmetic(symbol):
                        raise _foreign(path, f"expression {symbol!r}")
            _check(value, path)
    elif isinstance(tree, list):
        for value in tree:
            _check(value, path)


def _is_arithmetic(text: str) -> bool:
    """Whether a shape expression is only arithmetic over symbols: sympy evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(node, EXPRESSION)
        and (not isinstance(node, ast.Name) or node.id in SYMBOLS or bool(re.fullmatch(r"[su]\d+", node.id)))
        and (not isinstance(node, ast.Constant) or not isinstance(node.value, str) or bool(re.fullmatch(r"[\w.]+", node.value)))
        for node in nodes
    )


def _foreign(path: Path, what: str) -> TeacherError:
    return TeacherError(path, f"holds more than a network: {what}", remedy="export it again with torch.export, or give --trust-pickle if you trust its author")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def _weights_only(on: bool):
    """Make every ``torch.load`` inside refuse pickled code, also those that ask for it."""
    name, before = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    if on:
        os.environ[name] = "1"
    try:
        yield
    finally:
        if on:
            os.environ.pop(name) if before is None else os.environ.__setitem__(name, before)


@contextmanager
def _quiet():
    """Silence torch.export's own log lines: the error that follows says it in one."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.export.pt2_archive")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

