"""Guarded calls of a teacher's code: a failure becomes a ``TeacherError`` that shows a row.

A failed call is repeated at once, and a few more times if the failure may be temporary (a service is away, or a failure
of the same type passed before). For a permanent failure the guard finds the cause: the values of a row, the number of
rows, or every row. Where rows cost, it asks one of them alone and no more.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.errors import DfkdError, Interrupted, QueriesSpent, TeacherError
from dfkd_tune.teachers.metering.meter import Meter, current_meter
from dfkd_tune.utils.object_reference import message, raised
from dfkd_tune.utils.user_code import Confined

LOG = logging.getLogger(__name__)
PASSING = (OSError, TimeoutError, ConnectionError)
"""Types of temporary failures; those of other libraries are recognized by the words below in their names."""
WORDS = ("timeout", "connect", "unavailable", "network", "transport", "protocol", "temporar", "retr", "ratelimit")
PAUSES = (0.0, 0.2, 1.0, 3.0)
"""Seconds before each repetition of a failed call; a failure that is not temporary is repeated once."""
SLOW_CALL_S = 0.5
"""Seconds per call from which a teacher is slow; the guard then asks one row alone, and no more, to find the cause of a failure."""
SLOW_ROW_S = 0.05
"""Seconds for one row from which it does the same."""
FEW = 2
"""Most rows that are asked again, where rows are counted, after a failure that is not temporary."""
SIZES = (1, 2, 7, *(2**i for i in range(2, 10)))
"""Batch sizes that are tried after one fails."""
SHOWN_VALUES = 6
"""Number of values of a row that a message shows."""
OURS = (KeyboardInterrupt, DfkdError, Interrupted)
"""Exceptions that are raised unchanged."""
VALUES_REMEDY = "declare the values that it takes, as ranges or levels in the features file"
ROWS_REMEDY = "let it take any number of rows, one too: in evaluation mode, exported with a dynamic batch dimension"
SHAPE_REMEDY = "check the number of features and what is declared of them, and that any number of rows is taken"
CHANGED_REMEDY = "it answered others before: see what it depends on, then run the same command again"
OTHERS_REMEDY = "declare the values that it takes in the features file, and let it take any number of rows"
END_REMEDY = "a teacher must return its answers and end nothing"


@dataclass
class Calls:
    """Progress of the teacher calls of this process, for messages to a user who waits.

    Args:
        since: start of the running call, by ``time.monotonic``; None between calls.
        rows: number of rows in that call.
        count, answered, seconds: number of finished calls, their rows and their duration.
        expected: number of rows to query before the next step; None if unknown.
        rate: measured throughput, in rows per second.
        calls: number of calls to make, if that is known instead of the number of rows.
    """

    since: float | None = None
    rows: int = 0
    count: int = 0
    answered: int = 0
    seconds: float = 0.0
    expected: int | None = None
    rate: float | None = None
    calls: int | None = None

    def begin(self, rows: int) -> None:
        """Record the start of a call with ``rows`` rows."""
        self.rows, self.since = rows, time.monotonic()

    def end(self) -> float:
        """Record the end of the call; returns its duration in seconds."""
        took, self.since = time.monotonic() - (self.since or time.monotonic()), None
        self.count, self.answered, self.seconds = self.count + 1, self.answered + self.rows, self.seconds + took
        return took

    def expect(self, rows: int | None, rate: float | None = None, calls: int | None = None) -> None:
        """Reset the counts and set the number of expected rows or calls."""
        self.count, self.answered, self.seconds = 0, 0, 0.0
        self.expected, self.rate, self.calls = rows, rate, calls


CALLS = Calls()
"""The calls of this process."""


@dataclass
class Guard:
    """Calls a teacher's code and remembers how it behaves; copies of a teacher share it.

    Args:
        names: feature names, for messages.
        labels: column -> the words behind its codes 0, 1, ..., for messages; None is a missing value.
        optional: columns that may hold missing values, which are NaN.
        outputs: number of output columns O; None before the first call.
        passed: exception types that did not recur when a call was repeated.
        slow: whether the last call that it answered took longer than ``SLOW_CALL_S``, or one since.
        check_cancelled: called before each call of a slow teacher; may raise to cancel.
        meter: counts the rows of each call and keeps their answers; None for a teacher whose rows are free.
    """

    names: Sequence[str] | None = None
    labels: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    optional: Sequence[int] = ()
    outputs: int | None = None
    passed: set[type] = field(default_factory=set)
    slow: bool = False
    check_cancelled: Callable[[], None] = lambda: None
    meter: Meter | None = field(default_factory=current_meter)

    def call(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Evaluate rows ``(N, D)`` in the teacher's dtype; returns ``(N, O)``.

        Raises:
            TeacherError: the call fails, which the message shows with a row, or the outputs are not valid.
        """
        if self.slow:
            self.check_cancelled()
        try:
            return self._once(source, function, x)
        except OURS:
            raise
        except BaseException as error:
            problem = error
        finite = self._sound(x)
        if not finite.all() and (finite.any() or self.outputs):
            return self._spare(source, function, x, finite)  # a diverging student produces such rows
        again = self._again(source, function, x, problem)
        if isinstance(again, Tensor):
            return again
        raise self._failure(source, function, x, again) from again

    def once(self, source: str, function: Callable[..., Any], *arguments: Tensor) -> Any:
        """Call the function once, without repetition and without a search for the cause.

        Raises:
            TeacherError: the call fails.
        """
        CALLS.begin(len(arguments[0]))
        try:
            with Confined():
                return self._run(function, *arguments)
        except OURS:
            raise
        except BaseException as error:
            shapes = ", ".join(str(tuple(each.shape)) for each in arguments)
            raise TeacherError(
                source, f"cannot answer {shapes} inputs: it {raised(error)}", remedy=SHAPE_REMEDY
            ) from error
        finally:
            CALLS.end()

    def row(self, x: Tensor) -> str:
        """Format a row ``(D,)`` with feature names."""
        values = x.detach().cpu().tolist()
        names = self.names if self.names is not None and len(self.names) == len(values) else None
        cells = [self._cell(i, value) for i, value in enumerate(values[:SHOWN_VALUES])]
        parts = [f"{names[i] if names else f'x{i}'}={cell}" for i, cell in enumerate(cells)]
        return ", ".join(parts) + (", ..." if len(values) > SHOWN_VALUES else "")

    def _cell(self, column: int, value: float) -> str:
        """A value as the features file writes it."""
        if column in self.optional and math.isnan(value):
            return "null"
        labels = self.labels.get(column, ())
        return repr(labels[int(value)]) if value in range(len(labels)) else f"{value:.6g}"

    def _sound(self, x: Tensor) -> Tensor:
        """Mask ``(N,)`` of the rows ``(N, D)`` that are finite, except for permitted missing values."""
        sound = torch.isfinite(x)
        columns = [*self.optional]
        sound[:, columns] |= x[:, columns].isnan()
        return sound.all(dim=1)

    def _once(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        CALLS.begin(len(x))
        answered = False
        try:
            with Confined():
                y = self._run(function, x)
            answered = True
        finally:
            self.slow = CALLS.end() > SLOW_CALL_S or (self.slow and not answered)
        return self._checked(source, y, x)

    def _run(self, function: Callable[..., Any], *arguments: Tensor) -> Any:
        return function(*arguments) if self.meter is None else self.meter.call(function, *arguments)

    def _checked(self, source: str, y: object, x: Tensor) -> Tensor:
        if not isinstance(y, Tensor):
            raise TeacherError(
                source,
                f"must return one tensor, returned {type(y).__name__}",
                remedy="torch.from_numpy converts an array",
            )
        if y.is_complex() or y.is_quantized or y.layout is not torch.strided:
            raise TeacherError(source, f"must return a dense tensor of real numbers, returned {y.dtype}, {y.layout}")
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(x) or y.shape[1] == 0 or (self.outputs or y.shape[1]) != y.shape[1]:
            asked, shape = tuple(x.shape), tuple(y.shape)
            if self.outputs is None:
                rule = f"must answer {asked} with ({len(x)}, outputs), answered {shape}"
            else:
                rule = f"answered {len(x)} rows with shape {shape}, expected {(len(x), self.outputs)}"
            raise TeacherError(source, rule)
        self.outputs = y.shape[1]
        if y.is_inference() and not torch.is_inference_mode_enabled():
            y = y.clone()  # autograd refuses tensors that were created in inference mode
        if y.requires_grad and not torch.is_grad_enabled():
            y = y.detach()
        return y if y.device == x.device else y.to(x.device)

    def _spare(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, finite: Tensor) -> Tensor:
        """Evaluate only the finite rows; the others get NaN."""
        if not finite.any():
            return x.new_full((len(x), self.outputs or 1), torch.nan)
        y = self.call(source, function, x[finite])
        return y.new_full((len(x), y.shape[1]), torch.nan).index_put((finite,), y)

    def _again(
        self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, problem: BaseException
    ) -> Tensor | BaseException:
        """Repeat the call; returns the outputs, or the last failure."""
        lasting = not passing(problem) and type(problem) not in self.passed
        if self.meter is not None and len(x) > FEW and lasting:
            return problem
        for pause in PAUSES if isinstance(problem, Exception) else ():
            kind, words = type(problem), message(problem)
            say = LOG.warning if pause and kind not in self.passed else LOG.info
            say("the teacher %s %s; the call is repeated in %g s", source, raised(problem), pause)
            time.sleep(pause)
            try:
                answer = self._once(source, function, x)
            except OURS:
                raise
            except BaseException as error:
                same = type(error) is kind and message(error) == words
                problem = error
                if not isinstance(error, Exception) or (same and not passing(error) and kind not in self.passed):
                    break
            else:
                if kind not in self.passed:
                    LOG.warning(
                        "the teacher %s %s, then answered the same rows: calls that fail like this are repeated",
                        source,
                        raised(problem),
                    )
                self.passed.add(kind)
                return answer
        return problem

    def _failure(
        self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, problem: BaseException
    ) -> TeacherError:
        """The error that names the cause of a failure."""
        what, shape = raised(problem), tuple(x.shape)
        first = f"cannot answer {shape} inputs, the first {self.row(x[0])}" if len(x) else "cannot answer no rows"
        if passing(problem) or type(problem) in self.passed:
            return TeacherError(
                source,
                f"{first}: it {what}, {len(PAUSES) + 1} times in a row",
                remedy="see that it can be reached, then run the same command again",
            )
        alone, row, size, free = None, None, None, self.meter is None and not self.slow
        if len(x) > FEW or (free and len(x) > 1):
            alone, seconds = self._alone(source, function, x)
            free = free and seconds < SLOW_ROW_S
        if free and len(x):
            alone = None
            with suppress(_Slow):
                row, size = blame(lambda rows: self._cheaply(source, function, rows), x.detach())
        if size is not None:
            return TeacherError(
                source,
                f"takes only a fixed batch size: {_rows(len(x))} failed where {_rows(size)} did not (it {what})",
                remedy=ROWS_REMEDY,
            )
        if row is not None:
            return TeacherError(source, f"{what}, asked {_rows(len(x))}, for {self.row(row)}", remedy=VALUES_REMEDY)
        if alone:
            rule = f"{what}, asked {_rows(len(x))}; it answers the first of them alone, {self.row(x[0])}"
            return TeacherError(source, rule, remedy=OTHERS_REMEDY)
        answered = self.outputs or (self.meter is not None and self.meter.was_answered)
        remedy = END_REMEDY if not isinstance(problem, Exception) else CHANGED_REMEDY if answered else SHAPE_REMEDY
        also = "" if alone is None else ", and also where this row is asked alone"
        return TeacherError(source, f"{first}: it {what}{also}", remedy=remedy)

    def _alone(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[bool | None, float]:
        """Whether the first row is answered alone, None if it cannot be asked, and the seconds that it takes."""
        start = time.monotonic()
        try:
            answers = self._answers(source, function, x[:1].detach())
        except QueriesSpent:
            return None, 0.0
        return answers, time.monotonic() - start

    def _cheaply(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
        """As ``_answers``, until a call is slow."""
        if self.slow:
            raise _Slow
        return self._answers(source, function, x)

    def _answers(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
        try:
            with torch.no_grad():
                self._once(source, function, x)
        except (KeyboardInterrupt, QueriesSpent):
            raise
        except BaseException:
            return False
        return True


class _Slow(Exception):
    """A teacher that seemed to be fast is slow, so that the search for the cause of a failure ends."""


def passing(problem: BaseException) -> bool:
    """Whether a failure may be temporary."""
    name = type(problem).__name__.lower()
    lasting = isinstance(problem, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
    return (isinstance(problem, PASSING) and not lasting) or any(word in name for word in WORDS)


def blame(answers: Callable[[Tensor], bool], x: Tensor) -> tuple[Tensor | None, int | None]:
    """Find why a batch fails.

    Args:
        answers: whether a call with rows ``(N, D)`` succeeds.
        x: ``(N, D)`` rows that fail together.

    Returns:
        A row ``(D,)`` whose values make the call fail, or a batch size that succeeds; None for what was not found.
    """
    rows = len(x)
    # A batch of copies of one row separates the effect of its values from that of the batch size.
    good = next((i for i in sorted({0, rows // 2, rows - 1}) if answers(_copies(x[i], rows))), None)
    if good is None:
        return None, next((size for size in SIZES if size != rows and answers(_copies(x[0], size))), None)
    suspects = [i for i in range(rows) if i != good]
    while len(suspects) > 1:
        half = suspects[: len(suspects) // 2]
        suspects = suspects[len(half) :] if answers(_among(x, half, good)) else half
    guilty = bool(suspects) and not answers(_among(x, suspects, good))
    return (x[suspects[0]] if guilty else None), None


def _copies(row: Tensor, count: int) -> Tensor:
    return row.expand(count, -1).contiguous()


def _among(x: Tensor, suspects: Sequence[int], good: int) -> Tensor:
    """Rows ``(N, D)`` with the suspects in place and a good row everywhere else."""
    mixed = _copies(x[good], len(x)).clone()
    mixed[list(suspects)] = x[list(suspects)]
    return mixed


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"
