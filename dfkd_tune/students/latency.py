"""How long a student takes to answer one row on this machine."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

BURSTS, CALLS = 5, 40


def latency(module: nn.Module, row: torch.Tensor) -> float:
    """Microseconds that a call with one row takes in plain PyTorch: the median of ``CALLS`` calls, in the best of ``BURSTS``.

    Args:
        module: between raw units.
        row: ``(1, D)`` raw.
    """
    with torch.inference_mode():
        return 1e6 * min(statistics.median(_seconds(module, row) for _ in range(CALLS)) for _ in range(BURSTS))


def _seconds(module: nn.Module, row: torch.Tensor) -> float:
    start = time.perf_counter()
    module(row)
    return time.perf_counter() - start
