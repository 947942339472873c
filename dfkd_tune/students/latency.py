"""Measure how long a student takes for one row on this machine."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

BURSTS, CALLS = 5, 40


def latency(module: nn.Module, row: torch.Tensor) -> float:
    """Microseconds of a call with one row in plain PyTorch: the lowest of ``BURSTS`` medians over ``CALLS`` calls.

    Args:
        module: network from raw rows to raw outputs.
        row: one raw row ``(1, D)``.
    """
    with torch.inference_mode():
        return 1e6 * min(statistics.median(_seconds(module, row) for _ in range(CALLS)) for _ in range(BURSTS))


def _seconds(module: nn.Module, row: torch.Tensor) -> float:
    start = time.perf_counter()
    module(row)
    return time.perf_counter() - start
