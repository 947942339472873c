"""What a running study does on ^C and SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType


class Signals:
    """Turn the first ^C or SIGTERM into a request to stop; a second ^C stops at once.

    As a context manager it yields a list, which is empty until the first signal arrives. In a thread that is not the main
    thread, where Python allows no handlers, the list stays empty.
    """

    def __enter__(self) -> list[int]:
        self.stop: list[int] = []
        heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self.before = {s: signal.signal(s, self._hear) for s in heard}
        return self.stop

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop.append(number)
        print("\nstopping: the running trials go back to the queue ...", file=sys.stderr)
