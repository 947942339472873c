"""What this machine has, and what other processes leave of it."""

import os

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


@pytest.mark.parametrize("count", [1, 3])
def test_threads_inside_the_block_alone(count):
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), hardware.threads(count):
        assert torch.get_num_threads() == count
        assert {pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openmp"} == {count}
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
