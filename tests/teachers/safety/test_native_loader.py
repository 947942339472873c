"""The script that lets a library read a file: it knows nothing of this package, and leaves standard output to the model."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lightgbm import LGBMRegressor

from dfkd_tune.teachers.safety import native_loader
from dfkd_tune.teachers.safety.child_process import REFUSED

SCRIPT = Path(native_loader.__file__)
ROOM = str(2**32)


def run(library: str, data: bytes, room: str = ROOM):
    return subprocess.run([sys.executable, "-P", SCRIPT, library, room], input=data, capture_output=True)


def test_it_imports_nothing_of_the_package():
    imported = [
        node
        for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom | ast.Import)
    ]
    names = {alias.name for node in imported for alias in node.names} | {
        getattr(node, "module", "") for node in imported
    }
    assert not any(str(name).startswith("dfkd_tune") for name in names)


def test_the_model_comes_out_as_its_library_writes_it_and_what_is_refused_is_told():
    x = np.random.default_rng(0).normal(size=(40, 2))
    text = LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1).fit(x, x[:, 0]).booster_.model_to_string()
    done = run("lightgbm", text.encode())
    assert done.returncode == 0 and done.stdout.decode().startswith("tree\nversion=") and b"Tree=1" in done.stdout
    broken = run("lightgbm", b"tree\nversion=v4\n")
    assert broken.returncode == REFUSED and broken.stdout == b"" and broken.stderr.rpartition(b"\0")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="only there is the memory limited")
def test_memory_is_limited():
    done = run("xgboost", bytes(64 * 2**20), str(16 * 2**20))
    assert done.returncode != 0 and done.stdout == b""
