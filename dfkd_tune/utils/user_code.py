"""A user's code in this process: what it prints goes to standard error, it ends no process, and torch stays as it was."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn


class Aside:
    """Standard error as standard output: a user's code that closes it closes nothing."""

    __slots__ = ()

    def __getattr__(self, name: str) -> object:
        return getattr(sys.stderr, name)

    def __iter__(self) -> Iterator[str]:
        return iter(sys.stderr)

    def close(self) -> None:
        sys.stderr.flush()


ASIDE = Aside()


class Confined:
    """A block that calls a user's function; it costs microseconds.

    ``os._exit`` raises ``SystemExit`` in it, as nobody would hear of an end otherwise; in a child process it is what it was.
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
    """A block that imports a user's module or makes a user's object: all of ``Confined``, and the settings that modules like to change."""
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
    """A block of a command: what C code, subprocesses and workers write to standard output goes to standard error."""
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
