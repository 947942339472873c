"""A long wait is told once; a short one, and one that ended with an error, is not."""

import logging
import time

import pytest

from dfkd_tune.utils import waits

LOG = logging.getLogger("tests.waits")


def test_what_takes_long_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(waits, "SOON", 0.02)
    with waits.telling(LOG, "waiting for %s, %d s at most", "the lock", 9):
        deadline = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
    assert caplog.messages == ["waiting for the lock, 9 s at most"]


def test_what_is_quick_or_fails_is_not_told(monkeypatch, caplog):
    monkeypatch.setattr(waits, "SOON", 0.05)
    with waits.telling(LOG, "waiting for nothing"):
        pass
    with pytest.raises(LookupError), waits.telling(LOG, "waiting for an error"):
        raise LookupError
    time.sleep(0.1)
    assert caplog.messages == []
