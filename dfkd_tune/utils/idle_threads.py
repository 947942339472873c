"""How the threads of OpenMP wait for work: asleep. By default they compute in a loop, which other processes then miss."""

from __future__ import annotations

import os

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Environment variable -> value, of OpenMP and of Intel's OpenMP."""


def wait_passively() -> None:
    """Let idle threads sleep in this process and its children. Call it before PyTorch is imported; what a user has set stays."""
    if not PASSIVE.keys() & os.environ.keys():
        os.environ.update(PASSIVE)
