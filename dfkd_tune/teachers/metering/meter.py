"""``Meter``: every call of a teacher's code claims its rows first, and keeps its answers.

All code of a teacher is called by its guard (``teachers.guarded``), so that the guard is where rows are counted: repetitions of
a failed call and the search for the cause of a failure count as well. A row that was answered before costs nothing; one that got NaN or infinity is
asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dfkd_tune.teachers.metering.answered_rows import AnsweredRows
from dfkd_tune.teachers.metering.parts import OPENING


class QueryBudget(Protocol):
    """A total number of rows, which all processes of a study share."""

    def claim(self, part: str, rows: int) -> int:
        """Claim rows for a part of the total, before they are asked.

        Returns:
            the number of rows that the part had claimed before.

        Raises:
            QueriesSpent: fewer are left.
        """
        ...


@dataclass
class Meter:
    """Counts and keeps what a teacher is asked.

    Args:
        budget: where rows are claimed; None counts them here alone, without a limit.
        rows: where answers are kept; None keeps none.
        asked: number of rows that this process asked.
        takes_arrays: whether the teacher, a Python function, takes arrays and not tensors; None until that is known.
        opening: called with the meter before the first row is claimed, to set ``budget`` and ``rows``; None if they are set.
    """

    budget: QueryBudget | None = None
    rows: AnsweredRows | None = None
    asked: int = 0
    takes_arrays: bool | None = None
    opening: Callable[[Meter], object] | None = None
    _part: str = field(default=OPENING, init=False)
    _needed: set[bytes] = field(default_factory=set, init=False, repr=False)
    _again: bool = field(default=False, init=False)
    _keeps: bool = field(default=True, init=False)

    @contextmanager
    def counted_as(self, part: str) -> Iterator[set[bytes]]:
        """Inside the block, rows are claimed for a part of the total.

        Gives the rows of that part that the block needs, each once: those that it asks, and those that were asked for that part
        before, by a process that died. So their number does not depend on interruptions.
        """
        before = self._part, self._needed
        self._part, self._needed = part, set()
        try:
            yield self._needed
        finally:
            if before[0] == part:
                before[1].update(self._needed)
            self._part, self._needed = before

    @contextmanager
    def asking_again(self, keeping: bool = True) -> Iterator[None]:
        """Inside the block, answered rows are asked again, which tells how noisy a teacher is; ``keeping`` keeps the new answers."""
        self._again, self._keeps = True, keeping
        try:
            yield
        finally:
            self._again, self._keeps = False, True

    def call(self, function: Callable[..., Any], *arguments: Tensor) -> Any:
        """What ``function`` returns for arguments with N rows each; only rows without a kept answer are asked.

        Raises:
            QueriesSpent: too few rows are left.
            StorageError: the answers cannot be kept.
        """
        self._open()
        x, kept = arguments[0], self.rows
        if len(arguments) > 1 or x.ndim != 2 or kept is None:
            self.claim(len(x))
            return function(*arguments)
        if self._again:
            return self._ask(function, x)
        keys = kept.keys(x)
        self._needed.update(key for key in keys if kept.part_of(key) == self._part)
        new = {key: i for i, key in reversed([*enumerate(keys)]) if kept.answer(key) is None}  # each once
        if len(new) == len(x):
            return self._ask(function, x)
        asked: dict[bytes, Tensor] = {}
        if new:
            found = self._ask(function, x[sorted(new.values())])
            if not _whole(found, len(new)):
                return found  # not an answer: the guard says what is wrong with it
            asked = dict(zip(sorted(new, key=new.__getitem__), found, strict=True))
        found = [asked[key] if key in asked else kept.returned(key) for key in keys]
        answers = [answer.to(x.device) for answer in found if answer is not None]
        # an arranged teacher answers with (O,) what its own call does with ()
        alike = len({answer.ndim for answer in answers}) == 1
        return torch.stack(answers if alike else [answer.reshape(-1) for answer in answers])

    def _ask(self, function: Callable[..., Any], x: Tensor) -> Any:
        part, offset = self._part, self.claim(len(x))
        found = function(x.detach())
        if _whole(found, len(x)) and self.rows is not None:
            found = found.detach() if found.is_floating_point() else found.double()
            if self._keeps:
                self.rows.add(part, offset, x, found)
            self._needed.update(self.rows.keys(x))
        return found

    @property
    def was_answered(self) -> bool:
        """Whether the teacher has answered any row of the study, in this process or in another one."""
        return self.rows is not None and not self.rows.is_empty

    def claim(self, rows: int) -> int:
        """Claim rows that are asked besides those of ``call``; returns and raises what the budget does."""
        self._open()
        offset = self.budget.claim(self._part, rows) if self.budget is not None else 0
        self.asked += rows
        return offset

    def _open(self) -> None:
        if self.opening is not None:
            opening, self.opening = self.opening, None
            opening(self)


def _whole(found: Any, rows: int) -> bool:
    """Whether a returned value answers this number of rows, each with numbers."""
    return isinstance(found, Tensor) and found.ndim in (1, 2) and len(found) == rows and not found.is_complex()


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


def current_meter() -> Meter | None:
    """The meter of teachers that are made now; None if their rows are free."""
    return _METER.get()


@contextmanager
def metered(meter: Meter | None) -> Iterator[None]:
    """Inside the block, teachers are made with this meter."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)
