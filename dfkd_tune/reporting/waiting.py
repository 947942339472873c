"""Messages while a command or a call waits for a slow teacher."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfkd_tune.teachers.guarded import Calls

FIRST_PAUSE_S = 2.5
"""Seconds of waiting before the first message."""
LONGEST_PAUSE_S = 60.0
"""Longest pause between two messages, in seconds; each pause is twice the previous one."""
POLL_S = 0.5
"""Seconds between two checks of the running call."""
THREAD = "waiting"
"""Name of the thread that tells of waits. It holds no lock."""
SLOW = 0.25
"""Mean seconds per call from which a teacher counts as slow."""


@contextmanager
def announce_waits(tell: Callable[[str], None]) -> Iterator[None]:
    """Give messages about a slow teacher to ``tell``, in another thread, while the block runs."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(over, tell), name=THREAD, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(over: threading.Event, tell: Callable[[str], None]) -> None:
    pause, due, begun, ended = FIRST_PAUSE_S, 0.0, None, 0.0
    while not over.wait(POLL_S):
        calls = _calls()
        now = time.monotonic()
        if calls is None or (calls.since is None and now - ended > FIRST_PAUSE_S):
            begun, pause = None, FIRST_PAUSE_S
        if calls is None or calls.since is None:
            continue
        ended = now
        if begun is None:
            begun, due = calls.since, calls.since + FIRST_PAUSE_S
        if now >= due and _slow(calls, now):
            tell(line(calls, now))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            due = now + pause


def _calls() -> Calls | None:
    """The record of teacher calls; None before a teacher module is imported."""
    module: ModuleType | None = sys.modules.get("dfkd_tune.teachers.guarded")
    return getattr(module, "CALLS", None)  # None while it is being imported


def _slow(calls: Calls, now: float) -> bool:
    running = now - (calls.since or now)
    return running > FIRST_PAUSE_S or (calls.count > 0 and calls.seconds / calls.count > SLOW)


def line(calls: Calls, now: float) -> str:
    """Describe the running teacher call and the time that is left.

    Args:
        calls: record of the teacher's calls, ``teachers.guarded.CALLS``.
        now: current time by ``time.monotonic``, in seconds.
    """
    words = f"waiting for the teacher: {_count(calls.rows)} asked {_time(now - (calls.since or now))} ago"
    each = f"{calls.seconds / calls.count:.2g} s each so far" if calls.count else ""
    if calls.calls is not None and calls.count < calls.calls:
        return words + "".join(f", {part}" for part in (f"call {calls.count + 1} of {calls.calls}", each) if part)
    if calls.expected is None or calls.answered >= calls.expected:
        return words + (f"; {calls.count:,} calls before it, {each}" if calls.count else "")
    rate = calls.answered / max(calls.seconds, 1e-9) if calls.answered else calls.rate
    words += f"; {calls.answered:,} of {calls.expected:,} rows answered"
    return words + (f", about {_time((calls.expected - calls.answered) / rate)} left" if rate else "")


def _count(rows: int) -> str:
    return f"{rows:,} row{'s' if rows != 1 else ''}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
