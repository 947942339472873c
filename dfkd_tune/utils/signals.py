"""What a command and a running study do on ^C and SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType


def raise_lost_interrupt() -> None:
    """Call this before work begins: a ^C that a library lost while it was imported is one.

    Raises:
        KeyboardInterrupt: there was one.
    """
    noting = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(noting, Interrupts) and noting.heard:
        raise KeyboardInterrupt


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


class Interrupts:
    """Note every ^C, beside the ``KeyboardInterrupt`` that it raises: a library may lose it, and fail in another way later.

    As a context manager it yields a list, which stays empty where something else handles ^C, or ignores it.
    """

    def __enter__(self) -> list[int]:
        self.heard: list[int] = []
        main = threading.current_thread() is threading.main_thread()
        self.ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.ours:
            signal.signal(signal.SIGINT, self._hear)
        return self.heard

    def __exit__(self, *exception: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)
        raise KeyboardInterrupt
