"""What this machine has, and what other processes leave of it."""

import os
import subprocess
import sys
import time

import pytest
import torch
from threadpoolctl import threadpool_info

from dfkd_tune.utils import hardware

AFFINITY = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")


@AFFINITY
def test_cores_that_others_use_are_not_idle(busy_cores):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, busy_cores)
        assert hardware.cores() == len(busy_cores)
        assert hardware.idle_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= hardware.idle_cores() <= hardware.cores()


def test_what_this_process_has_started_is_no_load(monkeypatch):
    """A server of workers still imports while idle cores are counted."""
    monkeypatch.setattr(hardware.psutil, "cpu_percent", lambda interval, percpu: time.sleep(interval) or [100.0])
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    assert hardware.idle_cores() == 1
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        begun = hardware._seconds_of_children()
        while hardware._seconds_of_children() < begun + 0.2:
            time.sleep(0.05)
        monkeypatch.setattr(hardware.time, "perf_counter", iter([0.0, 1e-3]).__next__)  # however much others leave them
        assert hardware.idle_cores() == 2
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("count", [1, 3])
def test_threads_inside_the_block_alone(count):
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), hardware.threads(count):
        assert torch.get_num_threads() == count
        assert {pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openmp"} == {count}
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
