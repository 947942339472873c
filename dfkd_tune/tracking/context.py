"""The study that the running code belongs to, for MLflow runs that user code starts during a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from dfkd_tune.tracking import tags as tag

_CURRENT: ContextVar[Mapping[str, str] | None] = ContextVar("dfkd_tune", default=None)


@contextmanager
def within(**about: object) -> Iterator[None]:
    """Mark the code inside the block as part of a study; ``about`` are tags, such as ``study="pump"`` for ``dfkd.study``."""
    before = _CURRENT.set({f"{tag.PREFIX}{key}": str(value) for key, value in about.items()})
    try:
        yield
    finally:
        _CURRENT.reset(before)


def current() -> Mapping[str, str] | None:
    """Tags of the study that this thread runs; None outside of a study."""
    return _CURRENT.get()
