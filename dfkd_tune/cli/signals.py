"""What a running study does on ^C and SIGTERM."""

from __future__ import annotations

import signal
from types import FrameType

import click


class Signals:
    """Turn the first ^C or SIGTERM into a request to stop; a second ^C stops at once.

    As a context manager it yields a list, which is empty until the first signal arrives.
    """

    def __enter__(self) -> list[int]:
        self.stop: list[int] = []
        self.before = {s: signal.signal(s, self._hear) for s in (signal.SIGINT, signal.SIGTERM)}
        return self.stop

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop.append(number)
        click.echo("\nstopping: the running trials go back to their slots ...", err=True)
