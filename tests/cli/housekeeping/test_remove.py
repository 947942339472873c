"""``remove``: it lists what it deletes, and deletes when told."""

import os

import pytest
from asked import assert_refused, files_of

pytestmark = pytest.mark.usefixtures("undrawn")


def test_remove_lists_first_and_acts_when_told(dfkd, own, monkeypatch):
    before = {file for file in files_of(own.home) if "spool" in file}
    listed = dfkd("remove", "pump", cwd=own.home)
    assert (listed.status, "--yes" in listed.err) == (0, True)
    assert listed.out.splitlines()[0] == "study pump with 2 trials"
    assert {file for file in files_of(own.home) if "spool" in file} == before

    for answer, gone in (("n", False), ("y", True)):
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        with os.fdopen(theirs) as terminal, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", terminal)
            assert dfkd("remove", "pump", cwd=own.home).status == 0
        os.close(ours)
        assert (dfkd("show", "pump", cwd=own.home).status == 1) == gone
    assert_refused(dfkd("remove", "pump", "--yes", cwd=own.home), "study 'pump'", "does not exist here")
