"""The resources of this machine: cores, free memory and GPU."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import psutil
import torch
from threadpoolctl import threadpool_limits

from dfkd_tune.errors import MachineError

CGROUP = Path("/sys/fs/cgroup")
DEVICES = ("auto", "cpu", "cuda")
PLANNED_FRACTION = 0.8
"""Share of the free memory that a study plans with."""
SAMPLE_S = 0.3
"""Seconds in which the load of the cores is sampled."""


def device(asked: str = "auto") -> str:
    """Resolve ``auto``, ``cpu`` or ``cuda`` to a device; ``auto`` is the GPU if there is one.

    Raises:
        MachineError: ``cuda`` is requested, but not available; or another device.
    """
    if asked not in DEVICES:
        raise MachineError(
            "--device", f"must be one of {', '.join(DEVICES)}, got {asked!r}", remedy="give --device auto"
        )
    if asked == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda is not None
        found = "this machine shows no CUDA GPU" if built else f"torch {torch.__version__} was built without CUDA"
        raise MachineError("--device cuda", found, remedy="give --device auto, which takes the CPU where there is none")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


def cores() -> int:
    """Number of cores that this process may use, by its CPU affinity and its control group."""
    return joblib.cpu_count()


def idle_cores() -> int:
    """Number of cores that this process may use and that no process uses now, at least 1. What this one has started does not count.

    The load average of the system would name the load of the last minute instead.
    """
    before, begun = _seconds_of_children(), time.perf_counter()
    shares = psutil.cpu_percent(interval=SAMPLE_S, percpu=True)
    own = (_seconds_of_children() - before) / (time.perf_counter() - begun)
    if hasattr(os, "sched_getaffinity"):
        shares = [share for core, share in enumerate(shares) if core in os.sched_getaffinity(0)] or shares
    idle = cores() * (1.0 - sum(shares) / len(shares) / 100.0)
    return max(1, min(cores(), round(idle + max(0.0, own))))


def _seconds_of_children() -> float:
    """Processor time of the running processes that this one has started."""
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            spent += sum(child.cpu_times()[:2])
    return spent


def memory() -> int:
    """Free memory for this process in bytes, by the system, its control group and its own limit."""
    left = [psutil.virtual_memory().available, *_left_of_groups()]
    with suppress(ImportError):  # not every system has such limits
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            left.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(left))


def memory_of(device: str) -> int:
    """Memory in bytes that a study may plan with, on a device."""
    return int(PLANNED_FRACTION * (torch.cuda.mem_get_info()[0] if device == "cuda" else memory()))


def name() -> str:
    """Name of this machine for timings: processor, cores and PyTorch version."""
    return f"{_processor()}, {cores()} cores, torch {torch.__version__}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _left_of_groups() -> Iterator[int]:
    """Yield the free memory of control groups in bytes; their inactive file cache counts as free."""
    for limit, used, stat, files in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        most, now, about = _read(limit), _read(used), _read(stat)
        if most is None or now is None or most == "max":
            continue
        lines = dict(line.split() for line in (about or "").splitlines())
        yield int(most) - int(now) + int(lines.get(files, 0))


def _read(name: str) -> str | None:
    with suppress(OSError):
        return (CGROUP / name).read_text().strip()
    return None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on ``count`` threads inside the block, in PyTorch and in other libraries with OpenMP or BLAS."""
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
