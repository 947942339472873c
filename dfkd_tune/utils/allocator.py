"""Memory that a step frees stays with the process, so that the next step takes it without asking the system.

As it starts, glibc gives every block of 128 kB or more back to the system when it is freed; a step of a few members then costs
some hundred page faults, which is a sixth of its time, and an evaluation of a student on a bank twice as long.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, as ``malloc.h`` numbers them."""
KEPT = 64 * 2**20
"""Bytes that are kept at most when nothing uses them."""
LARGEST = 32 * 2**20
"""Bytes of the largest block that is kept; glibc allows no more."""
GIVEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> None:
    """Set it for this process, where its allocator is glibc's and nobody set it before."""
    if sys.platform != "linux" or any(name in os.environ for name in GIVEN):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)


def give_back_freed_memory() -> None:
    """What this process keeps but does not use goes back to the system, where its allocator is glibc's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
