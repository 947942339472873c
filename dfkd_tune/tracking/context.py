"""Which study the running code belongs to, for MLflow runs that the user's own code starts meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from dfkd_tune.tracking import tags as tag

_CURRENT: ContextVar[Mapping[str, str] | None] = ContextVar("dfkd_tune", default=None)


@contextmanager
def within(**about: object) -> Iterator[None]:
    """Everything inside belongs to a study; ``about`` are tags such as ``study="pump"``, recorded as ``dfkd.study``."""
    before = _CURRENT.set({f"{tag.PREFIX}{key}": str(value) for key, value in about.items()})
    try:
        yield
    finally:
        _CURRENT.reset(before)


def current() -> Mapping[str, str] | None:
    """The tags of the study that this thread is in; None outside of any."""
    return _CURRENT.get()
