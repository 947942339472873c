"""Run user code: its output goes to standard error, it cannot end the process, and PyTorch's settings are restored."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn


class Aside:
    """Replacement for standard output that writes to standard error; ``close`` only flushes it."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        return getattr(sys.stderr, name)

    def __iter__(self) -> Iterator[str]:
        return iter(sys.stderr)

    def close(self) -> None:
        sys.stderr.flush()


ASIDE = Aside()


class Confined:
    """Context manager for a call of a user's function; it costs microseconds.

    Inside, ``os._exit`` raises ``SystemExit``, because the process would otherwise end without a message. In a child
    process it exits.
    """

    __slots__ = ("dtype", "exit", "grad", "out", "pid", "threads", "torch")

    def __enter__(self) -> Confined:
        import torch

        self.torch = torch
        self.out, self.exit, self.pid = sys.stdout, os._exit, os.getpid()
        self.grad, self.dtype, self.threads = (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
        )
        sys.stdout, os._exit = ASIDE, self._refuse
        return self

    def __exit__(self, *exception: object) -> None:
        torch = self.torch
        sys.stdout, os._exit = self.out, self.exit
        if torch.is_grad_enabled() != self.grad:
            torch.set_grad_enabled(self.grad)
        if torch.get_default_dtype() != self.dtype:
            torch.set_default_dtype(self.dtype)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _refuse(self, status: int) -> NoReturn:
        if os.getpid() != self.pid:
            self.exit(status)
        raise SystemExit(status)


@contextmanager
def setting_up() -> Iterator[None]:
    """Context manager for imports of user modules: ``Confined``, and it restores settings that they often change."""
    import numpy as np
    import torch

    folder, errors, device = os.getcwd(), np.geterr(), torch.get_default_device()
    try:
        with warnings.catch_warnings(), Confined():
            yield
    finally:
        np.seterr(**errors)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        with suppress(OSError):
            os.chdir(folder)


@contextmanager
def own_output() -> Iterator[None]:
    """Inside the block, redirect standard output of C code, subprocesses and workers to standard error."""
    try:
        sys.stdout.flush()
        own, before = os.dup(1), sys.stdout
        os.dup2(2, 1)
    except (OSError, AttributeError, ValueError):  # a stream is closed
        yield
        return
    sys.stdout = os.fdopen(os.dup(own), "w", buffering=1, encoding=before.encoding, errors=before.errors)
    try:
        yield
    finally:
        mine, sys.stdout = sys.stdout, before
        try:
            mine.close()
        finally:
            os.dup2(own, 1)
            os.close(own)
