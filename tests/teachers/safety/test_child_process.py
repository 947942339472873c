"""A library that reads a file in a child process: what it refuses, what crashes it, and what takes too long."""

import sys
from pathlib import Path

import pytest
from teacher_files import fails

from dfkd_tune.teachers.safety import child_process, native_loader
from dfkd_tune.teachers.safety.child_process import read_by_library

FILE = Path("model.bin")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A script in place of the loader, which gets the name of a library and the room in memory."""

    def write(text: str) -> None:
        script = tmp_path / "loader.py"
        script.write_text(f"import os, sys, time\ndata = sys.stdin.buffer.read()\n{text}\n")
        monkeypatch.setattr(native_loader, "__file__", str(script))

    return write


def test_what_it_writes_is_the_model(library):
    library(
        "assert sys.argv[1] == 'somelib' and int(sys.argv[2]) > 0 and os.environ['OMP_NUM_THREADS'] == '1'\nsys.stdout.buffer.write(data[::-1])"
    )
    assert read_by_library(FILE, b"\x00\xffabc", "somelib") == b"cba\xff\x00"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "sys.stderr.write('warning\\0no such tree\\nStack trace:\\n  at 0x1'); sys.exit(3)",
            ["not a model of somelib, or cut short: no such tree"],
        ),
        ("os.abort()", ["damaged: somelib ends with -6 when it reads it"]),
        ("sys.exit(1)", ["damaged: somelib ends with 1"]),
        ("time.sleep(60)", ["damaged: somelib did not finish reading it in 1 s"]),
    ],
    ids=["refused", "crashed", "failed", "around in circles"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a crash has another status there")
def test_whatever_goes_wrong_there_is_told_in_one_line(library, monkeypatch, text, words):
    monkeypatch.setattr(child_process, "PATIENCE_S", 1.0)
    library(text)
    with fails(FILE, *words, "copy it again"):
        read_by_library(FILE, b"abc", "somelib")
