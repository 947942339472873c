"""Keep freed memory in the process, so that the next training step can reuse it.

By default, glibc returns every freed block of 128 kB or more to the system. A step of a few members then costs about a
hundred page faults, a sixth of its time, and an evaluation of a student on a bank takes twice as long.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, as ``malloc.h`` numbers them."""
KEPT = 64 * 2**20
"""Largest amount of unused memory that is kept, in bytes."""
LARGEST = 32 * 2**20
"""Largest block that is kept, in bytes; glibc allows no more."""
GIVEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> None:
    """Configure the allocator of this process, if it is glibc's and the environment does not configure it."""
    if sys.platform != "linux" or any(name in os.environ for name in GIVEN):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)


def give_back_freed_memory() -> None:
    """Return unused memory to the system, if the allocator is glibc's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
