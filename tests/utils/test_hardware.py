"""What this machine has, and what other processes leave of it."""

import os
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from dfkd_tune.utils import hardware
from dfkd_tune.utils.idle_threads import PASSIVE, wait_passively

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


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    for name in PASSIVE:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    wait_passively()
    assert {name: os.environ[name] for name in PASSIVE} == PASSIVE
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("KMP_BLOCKTIME")
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE" and "KMP_BLOCKTIME" not in os.environ


LATE = """
import os, sys
from dfkd_tune.utils import idle_threads
idle_threads.wait_passively = lambda: print("torch" in sys.modules)
import dfkd_tune.cli.main as command
command.wait_passively = idle_threads.wait_passively
sys.argv = ["dfkd-tune", "--version"]
command.main()
"""


def test_the_command_line_says_so_before_pytorch_is_imported():
    told = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False)
    assert told.stdout.startswith("False"), told.stderr
