"""Compile a student's source and load it: with the system's compiler, or that of the package ``ziglang``."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from dfkd_tune.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor

FLAGS = ("-std=c99", "-O2")
FAST = ("-std=c99", "-O3")
NATIVE = "-march=native"
"""Flag for the instructions of this machine, which not every compiler has on every machine."""
TIMEOUT_S = 300.0
"""A compiler that takes longer has hung."""
LONGEST_REASON = 200
NONE_HERE = "no C compiler is here"
REMEDY = "install one, name it in the environment variable CC, or pip install 'dfkd-tune[embedded]'"

HARNESS = """
int dfkd_sizes(int which)
{{
    return which == 0 ? {upper}_FEATURES : which == 1 ? {upper}_OUTPUTS : (int)sizeof({prefix}_value);
}}

void dfkd_rows(const {prefix}_value *rows, long count, long times, float *outputs)
{{
    long i;
    while (times-- > 0)
        for (i = 0; i < count; i++)
            {prefix}_predict(rows + i * {upper}_FEATURES, outputs + i * {upper}_OUTPUTS);
}}
"""
"""Functions that a shared library has beside the student: one call for many rows, so that a call's own cost does not count."""


def zig() -> list[str] | None:
    """The command of the C compiler in the package ``ziglang``; None if it is not installed."""
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") is not None else None


def compiler() -> list[str] | None:
    """The command of a C compiler: of the environment variable ``CC``, of the system or of ``ziglang``; None if there is none.

    Raises:
        ExportError: ``CC`` is no command line, or names no program.
    """
    named = os.environ.get("CC", "")
    try:
        given = shlex.split(named)
    except ValueError as error:
        raise ExportError(
            "CC", f"is no command line, got {named!r}: {error}", remedy="correct it, or unset it"
        ) from None
    if given and not shutil.which(given[0]):
        raise ExportError("CC", f"names no program on this machine, got {named!r}", remedy="correct it, or unset it")
    for command in (given, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return zig()


def compile_source(command: list[str], source: Path, out: Path, *flags: str) -> str:
    """Compile one file; returns what the compiler says.

    Raises:
        ExportError: the compiler does not take it; the message has its first error.
    """
    try:
        done = subprocess.run(
            [*command, *flags, str(source), "-o", str(out), *([] if "-c" in flags else ["-lm"])],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env=os.environ | _zig_cache(out.parent),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError("--format c", f"{command[0]} cannot be run: {error}", remedy=REMEDY) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
        reason = (lines[0] if lines else f"exit status {done.returncode}")[:LONGEST_REASON]
        raise ExportError("--format c", f"{' '.join(command)} does not compile it: {reason}", remedy=REMEDY)
    return done.stderr


def _zig_cache(otherwise: Path) -> dict[str, str]:
    """The environment in which ``ziglang`` has a folder for its cache: it fails, or never ends, where the user's is read-only."""
    if "ZIG_GLOBAL_CACHE_DIR" in os.environ:
        return {}
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or otherwise, ".cache"), "zig")
    try:
        usual.mkdir(parents=True, exist_ok=True)
        found = usual if os.access(usual, os.W_OK) else otherwise / "zig"
    except OSError:
        found = otherwise / "zig"
    return {"ZIG_GLOBAL_CACHE_DIR": str(found)}


def loaded(source: str, *flags: str) -> Library:
    """A source compiled into this process.

    Args:
        source: content of the ``.c`` file.
        flags: flags of the compiler; by default ``FLAGS``.

    Raises:
        ExportError: there is no compiler, or it does not take the source.
    """
    command = compiler()
    if command is None:
        raise ExportError("--format c", NONE_HERE, remedy=REMEDY)
    from dfkd_tune.export.formats.c.source import guard_of

    upper = guard_of(source).removesuffix("_H")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file, out = Path(folder, "student.c"), Path(folder, "student.so")
        file.write_text(source + HARNESS.format(prefix=upper.lower(), upper=upper), encoding="ascii")
        compile_source(command, file, out, "-shared", "-fPIC", *(flags or FLAGS))
        try:
            return Library(ctypes.CDLL(str(out)))
        except OSError as error:
            raise ExportError("--format c", f"the compiled student cannot be loaded: {error}", remedy=REMEDY) from None


def fastest(source: str) -> Library:
    """A source compiled for speed on this machine; errors are those of ``loaded``."""
    try:
        return loaded(source, *FAST, NATIVE)
    except ExportError:
        return loaded(source, *FAST)


class Library:
    """A compiled student.

    Args:
        library: the shared library, which stays loaded.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        library.dfkd_sizes.restype, library.dfkd_sizes.argtypes = ctypes.c_int, [ctypes.c_int]
        self._rows = library.dfkd_rows
        self._rows.restype = None
        self._rows.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p]
        self.features, self.outputs, size = (library.dfkd_sizes(which) for which in range(3))
        self.dtype = np.float64 if size == 8 else np.float32

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs ``(N, O)``, float32, of raw rows ``(N, D)``."""
        return self.repeated(x)(1)

    def repeated(self, x: Tensor) -> Callable[[int], Tensor]:
        """A function that answers the rows so many times within one call, which shows what the student itself costs."""
        import torch

        rows = np.ascontiguousarray(x.numpy(), dtype=self.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"takes rows of {self.features} features, got {tuple(rows.shape)}")
        outputs = np.empty((len(rows), self.outputs), dtype=np.float32)

        def run(times: int) -> Tensor:
            self._rows(rows.ctypes.data, len(rows), times, outputs.ctypes.data)
            return torch.from_numpy(outputs)

        return run
