"""How the threads of the command line wait for work."""

import json
import os
import subprocess
import sys

import pytest

TOLD = """
import json, os, sys
from dfkd_tune.cli.main import PASSIVE, main
early = "torch" not in sys.modules
sys.argv = ["dfkd-tune", "--version"]
try:
    main()
finally:
    print(json.dumps([early, {name: os.environ.get(name) for name in PASSIVE}]))
"""


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": None}),
        ({"KMP_BLOCKTIME": "50"}, {"OMP_WAIT_POLICY": None, "KMP_BLOCKTIME": "50"}),
    ],
    ids=["nothing set", "OpenMP set", "Intel set"],
)
def test_idle_threads_sleep_unless_the_user_says_otherwise(given, expected):
    """Before PyTorch is imported, which reads the variables."""
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    told = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=True, env=bare | given)
    assert json.loads(told.stdout.splitlines()[-1]) == [True, expected]
