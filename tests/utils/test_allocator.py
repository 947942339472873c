"""Memory that is freed and taken again, measured in page faults of fresh processes."""

import os
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from dfkd_tune.utils.allocator import keep_freed_memory

if sys.argv[1:] == ["kept"]:
    keep_freed_memory()
for _ in range(60):
    torch.ones(16, 400, 500)  # 12.8 MB
    if _ == 9:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments, **settings):
    """Page faults of 50 tensors that follow one another, one page being 4 kB."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | settings
    done = subprocess.run([sys.executable, "-c", COUNT, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="another allocator")
def test_freed_memory_is_taken_again():
    assert faults("kept") < 1_000
    assert faults("kept", MALLOC_MMAP_THRESHOLD_="131072") > 50_000  # a user's own settings stay


RESIDENT = """
import psutil
from dfkd_tune.utils.allocator import give_back_freed_memory, keep_freed_memory

keep_freed_memory()
many = [bytearray(100_000) for _ in range(2_000)]  # 200 MB
kept = many[::50]
del many
before = psutil.Process().memory_info().rss
give_back_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another allocator")
def test_freed_memory_is_given_back_when_asked():
    """Also what lies between blocks that are still used."""
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50e6
