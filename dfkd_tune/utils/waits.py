"""What a call waits for, told where it takes long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SOON = 2.0
"""Seconds after which whoever waits is told what for."""


@contextmanager
def telling(log: logging.Logger, words: str, *values: object) -> Iterator[None]:
    """Log what the block waits for, and for how long at most, once it has taken ``SOON`` seconds."""
    timer = threading.Timer(SOON, log.warning, (words, *values))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
