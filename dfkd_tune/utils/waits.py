"""Log what a call waits for if it takes long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SOON = 2.0
"""Seconds of waiting before the message is logged."""


@contextmanager
def telling(log: logging.Logger, words: str, *values: object) -> Iterator[None]:
    """Log a warning with ``words % values`` if the block takes longer than ``SOON`` seconds."""
    timer = threading.Timer(SOON, log.warning, (words, *values))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
