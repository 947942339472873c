"""Load ``.pt2`` files of ``torch.export.save`` without running code from them.

``torch.export.load`` of PyTorch 2.13 executes text from the archive (``guards_code``, and names, because it generates
Python from the graph), evaluates symbolic expressions, resolves operator names anywhere below ``torch``, imports
modules named in tree specs and unpickles constants. Untrusted archives are therefore loaded from a copy without guards
and metadata, after every word in them was compared with what an exported network needs.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.formats.dtypes import likely_dtype
from dfkd_tune.teachers.safety import archives
from dfkd_tune.teachers.signatures.exported_program import signature_of
from dfkd_tune.utils.object_reference import one_line

ENTRY = re.compile(
    r"[^/]+/((models/\w+\.json)|(data/weights/(weight_\d+|\w+_weights_config\.json))"
    r"|(data/constants/(tensor_\d+|\w+_constants_config\.json))|(data/sample_inputs/\w+\.pt)|archive_format|archive_version"
    r"|byteorder|\.data/\w+|\.format_version|version|extra/[\w./-]*)"
)
OPERATOR = re.compile(
    # These four of aten reach files or the terminal.
    r"torch\.ops\.(aten\.(?!(from_file|save|_print|warn)\b)|prims\.)\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_\w+|math\.(ceil|floor|sqrt)"
)
WORD = re.compile(r"[\w.+-]*")
"""Words that cannot call anything when the loader inserts them into Python code."""
PAYLOAD = re.compile(r"(weight|tensor)_\d+")
CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
SYMBOL = re.compile(
    r"[su]\d+|Symbol|Integer|Float|Rational|Add|Mul|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Max|Min|Equality|Unequality"
    r"|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|int_oo|oo|IntInfinity|NegativeIntInfinity|true|false"
)
# Without powers, because a short expression with them can run forever.
ARITHMETIC = (ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
EXPRESSION = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, *ARITHMETIC)


def load_pt2(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a ``.pt2`` file to the CPU, regardless of the device it was saved from.

    Raises:
        TeacherError: the file is truncated, of another format, or holds more than a network.
    """
    data = archives.read(path)
    _refuse_other_formats(path, data)
    try:
        archive = data if trust_pickle else _without_code(data, path)
        with warnings.catch_warnings(), _weights_only(not trust_pickle), _quiet():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(archive))
            if any(t.device.type != "cpu" for t in program.state_dict.values()):
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, "cpu")
            signature = signature_of(path, program)
            module = program.module(check_guards=False)
    except TeacherError:
        raise
    except Exception as error:
        if "Weights only load failed" in str(error):
            raise _foreign(path, "pickled code") from None
        raise TeacherError(path, f"not a .pt2 file, or cut short ({one_line(error)})") from None
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    flat = signature.arguments[0] if signature is not None and signature.flat else None
    dtype = likely_dtype(module) if flat is None or flat.dtype is None else flat.dtype
    width = None if flat is None else flat.width
    return Teacher(str(path), module, dtype, hash_bytes(data), width=width, signature=signature)


def _refuse_other_formats(path: Path, data: bytes) -> None:
    """Refuse an archive of another format under the name of ``.pt2``; trust would not make it load."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names, start = archive.namelist(), min(entry.header_offset for entry in archive.infolist())
    except Exception:  # a damaged directory makes zipfile raise several types of exceptions
        return
    if start != 0:  # a file cut short shows the archive of its sample inputs
        return
    for suffix, what, holds in (
        (".pt", "TorchScript", lambda name: "/code/" in name or name.endswith("/constants.pkl")),
        (".skops", "a skops file", lambda name: name == "schema.json"),
        (".pt", "a file of torch.save", lambda name: name.endswith("/data.pkl")),
    ):
        if any(map(holds, names)):
            raise TeacherError(
                path, f"is {what}, not a program of torch.export", remedy=f"rename it to {path.stem}{suffix}"
            )


def _without_code(data: bytes, path: Path) -> bytes:
    try:
        source = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise TeacherError(path, "not a .pt2 file, or cut short") from None
    # The sample inputs are an archive as well: a file truncated after them looks as if it held only them.
    if min((entry.header_offset for entry in source.infolist()), default=1) != 0:
        raise TeacherError(path, "not a .pt2 file, or cut short")
    cleaned = io.BytesIO()
    with source, zipfile.ZipFile(cleaned, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            # torch.export never compresses, and a compressed entry may decompress to any size.
            if not ENTRY.fullmatch(entry.filename) or entry.compress_type != zipfile.ZIP_STORED:
                raise _foreign(path, f"archive entry {entry.filename!r}")
            folder = entry.filename.split("/")[1]
            if folder == "extra":
                continue
            content = source.read(entry)
            if entry.filename.endswith(".json"):
                tree = json.loads(content)
                _check(tree, path)
                if folder == "models":
                    tree["guards_code"] = []
                content = json.dumps(tree).encode()
            target.writestr(entry.filename, content)
    return cleaned.getvalue()


def _check(tree: Any, path: Path, key: str = "") -> None:
    """Check every word of a JSON tree against its ``key``, and drop metadata, which names the author's code."""
    if isinstance(tree, dict):
        if "metadata" in tree:
            tree["metadata"] = {}
        for name, value in tree.items():
            if not (_is_arithmetic(name) if key == "range_constraints" else WORD.fullmatch(name)):
                raise _foreign(path, f"name {name!r}")
            if name == "use_pickle" and value:
                raise _foreign(path, "a pickled constant")
            _check(value, path, name)
    elif isinstance(tree, list):
        for value in tree:
            _check(value, path, key)
    elif isinstance(tree, str) and not _fits(tree, key):
        kind = {"target": "operator", "as_operator": "operator", "expr_str": "expression"}.get(key, key or "text")
        raise _foreign(path, f"{kind} {tree!r}")


def _fits(text: str, key: str) -> bool:
    """Whether a key of the archive's JSON permits a text."""
    if key in ("target", "as_operator"):
        return bool(OPERATOR.fullmatch(text))
    if key == "path_name":
        return bool(PAYLOAD.fullmatch(text))
    if key == "expr_str":
        return _is_arithmetic(text)
    if key in ("in_spec", "out_spec"):
        return text == "" or _is_plain(json.loads(text)[1])
    return key in ("as_string", "guards_code") or bool(WORD.fullmatch(text))


def _is_plain(spec: Any) -> bool:
    """Whether a tree spec holds only tuples, lists and dicts; other types import what their context names."""
    keys = json.loads(spec["context"]) if isinstance(spec["context"], str) else spec["context"]
    plain = keys is None or (isinstance(keys, list) and all(isinstance(k, str) and WORD.fullmatch(k) for k in keys))
    return spec["type"] in CONTAINERS and plain and all(_is_plain(child) for child in spec["children_spec"])


def _is_arithmetic(text: str) -> bool:
    """Whether a shape expression is plain arithmetic over symbols; sympy would evaluate it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(node, EXPRESSION)
        and (not isinstance(node, ast.Name) or bool(SYMBOL.fullmatch(node.id)))
        and (not isinstance(node, ast.Constant) or not isinstance(node.value, str) or bool(WORD.fullmatch(node.value)))
        for node in nodes
    )


def _foreign(path: Path, what: str) -> TeacherError:
    return TeacherError(
        path,
        f"holds more than a network: {what[:200]}",
        remedy="export it again with torch.export, or give --trust-pickle if you trust its author",
    )


@contextmanager
def _weights_only(on: bool) -> Iterator[None]:
    """Make every ``torch.load`` in the block refuse pickled code, even with ``weights_only=False``."""
    name, before = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    if on:
        os.environ[name] = "1"
    try:
        yield
    finally:
        if on:
            os.environ.pop(name) if before is None else os.environ.__setitem__(name, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log of torch.export, because the error that follows says the same in one line."""
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
