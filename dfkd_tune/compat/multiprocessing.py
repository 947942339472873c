"""A private part of ``multiprocessing``: how its fork server is started."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver, resource_tracker, util
from unittest.mock import patch

__all__ = ["fork_the_server"]

STARTER = "spawnv_passfds"
"""Function of ``multiprocessing.util`` that starts the interpreter of a fork server."""


def fork_the_server(idle: Collection[str] = ()) -> bool:
    """Start the fork server of ``multiprocessing`` as a fork of this process, so that it does not import again what is imported.

    Call this before anything is computed, and before any file or connection is open that must not be shared.

    Args:
        idle: names of threads that hold no lock. Any other one may hold one that the fork would wait for.

    Returns:
        whether it runs; false beside other threads, and outside Linux.
    """
    others = {thread.name for thread in threading.enumerate()} - {threading.main_thread().name, *idle}
    if sys.platform != "linux" or others:
        return False
    resource_tracker.ensure_running()  # which a fork server starts otherwise, by the same function
    with patch.object(util, STARTER, partial(_forked, getattr(util, STARTER))):
        forkserver.ensure_running()
    return True


def _forked(starter: Callable[..., int], path: str, args: Sequence[str], passed: Sequence[int]) -> int:
    """Fork in place of starting an interpreter; the last of ``args`` is the code that it would run. Returns the process id.

    In the fork ``starter`` starts interpreters again, for a teacher that has processes of its own.
    """
    gc.freeze()  # garbage collection of imported objects would copy shared memory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about any other thread
        pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that it is a fork of
        setattr(util, STARTER, starter)
        forkserver._forkserver.__init__()  # its lock is held: this is the middle of ``ensure_running``
        _close_all_but(passed)  # a fork server ends when no process holds the other end of a pipe
        sys.stdout = sys.__stdout__  # another one may write to a file that is closed now
        exec(args[-1], {"__name__": "__main__"})
    except SystemExit:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def _close_all_but(kept: Collection[int]) -> None:
    """Close every file but standard input, output, error and those."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in kept:
            with suppress(OSError):  # that of the list itself is closed
                os.close(number)
