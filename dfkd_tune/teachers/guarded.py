"""Every call of a teacher that is not read as layers: its failure is an error of the teacher that shows a row.

A failed call is repeated: at once, and a few times more where the failure is one that passes (a service that is away, or any that
passed before). What fails for good is looked into: is it the values of a row, the number of rows, or every row?
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.errors import DfkdError, Interrupted, TeacherError
from dfkd_tune.utils.object_reference import message, raised
from dfkd_tune.utils.user_code import Confined

LOG = logging.getLogger(__name__)
PASSING = (OSError, TimeoutError, ConnectionError)
"""Failures that may pass, those of a service; of other libraries' kinds the names below tell."""
WORDS = ("timeout", "connect", "unavailable", "network", "transport", "protocol", "temporar", "retr", "ratelimit")
PAUSES = (0.0, 0.2, 1.0, 3.0)
"""Seconds before a failed call is repeated; what fails in the same way without such a reason is repeated once."""
SLOW_CALL_S = 0.5
"""Seconds of a call from which the teacher is slow: nothing further is asked to find the row that it fails for."""
SIZES = (1, 2, 7, *(2**i for i in range(2, 10)))
"""Numbers of rows that are tried where one fails."""
SHOWN_VALUES = 6
"""Values of a row that a message shows."""
OURS = (KeyboardInterrupt, DfkdError, Interrupted)
"""What passes through as it is."""
VALUES = "declare the values that it takes, as ranges or levels in the features file"
SIZE = "export it with a dynamic batch dimension"
ANY = "check the number of features, and that any number of rows is taken"
AGAIN = "it answered others before: see what it depends on, then run the same command again"
ENDS = "a teacher must return its answers and end nothing"


@dataclass
class Calls:
    """What a process asks its teacher and how long that takes; for whoever tells the user what is waited for.

    Args:
        since: when the call in flight began, by ``time.monotonic``; None between calls.
        rows: of that call.
        count, answered, seconds: calls before it, their rows and their time.
        expected: rows that are asked before anything else is done; None where that is not known.
        rate: rows that it answers in a second, as it was probed.
        calls: that are made, where their number is known rather than that of the rows.
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
        """A call for so many rows begins."""
        self.rows, self.since = rows, time.monotonic()

    def end(self) -> float:
        """It has ended; its seconds."""
        took, self.since = time.monotonic() - (self.since or time.monotonic()), None
        self.count, self.answered, self.seconds = self.count + 1, self.answered + self.rows, self.seconds + took
        return took

    def expect(self, rows: int | None, rate: float | None = None, calls: int | None = None) -> None:
        """Begin to count anew, to so many rows or calls."""
        self.count, self.answered, self.seconds = 0, 0, 0.0
        self.expected, self.rate, self.calls = rows, rate, calls


CALLS = Calls()
"""Those of this process."""


@dataclass
class Guard:
    """What the calls of one teacher have shown; copies of a teacher share it.

    Args:
        names: of its features, for messages.
        optional: columns whose values may be missing, which are NaN.
        outputs: columns of its answers.
        passed: kinds of failures that were over when it was asked again.
        slow: whether its last call took longer than ``SLOW_CALL_S``.
        check_cancelled: called before each call of a slow teacher; may raise.
    """

    names: Sequence[str] | None = None
    optional: Sequence[int] = ()
    outputs: int | None = None
    passed: set[type] = field(default_factory=set)
    slow: bool = False
    check_cancelled: Callable[[], None] = lambda: None

    def ask(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Answers ``(N, O)`` to rows ``(N, D)`` in the teacher's dtype.

        Raises:
            TeacherError: what the teacher did instead, with a row, or that its answer is none.
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
            return self._spare(source, function, x, finite)  # a student that diverges has such rows
        again = self._again(source, function, x, problem)
        if isinstance(again, Tensor):
            return again
        raise self._failure(source, function, x, again) from again

    def once(self, source: str, function: Callable[..., Any], *arguments: Tensor) -> Any:
        """Call it once, to see whether it can be called like that.

        Raises:
            TeacherError: what it did instead of returning, looked into no further.
        """
        CALLS.begin(len(arguments[0]))
        try:
            with Confined():
                return function(*arguments)
        except OURS:
            raise
        except BaseException as error:
            shapes = ", ".join(str(tuple(each.shape)) for each in arguments)
            raise TeacherError(source, f"cannot answer {shapes} inputs: it {raised(error)}", remedy=ANY) from error
        finally:
            CALLS.end()

    def row(self, x: Tensor) -> str:
        """A row ``(D,)`` in words."""
        values = x.detach().cpu().tolist()
        names = self.names if self.names is not None and len(self.names) == len(values) else None
        parts = [f"{names[i] if names else f'x{i}'}={value:.6g}" for i, value in enumerate(values[:SHOWN_VALUES])]
        return ", ".join(parts) + (", ..." if len(values) > SHOWN_VALUES else "")

    def _sound(self, x: Tensor) -> Tensor:
        """Which rows ``(N,)`` of ``(N, D)`` hold numbers alone, beside values that may be missing."""
        sound = torch.isfinite(x)
        columns = [*self.optional]
        sound[:, columns] |= x[:, columns].isnan()
        return sound.all(dim=1)

    def _once(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        CALLS.begin(len(x))
        try:
            with Confined():
                y = function(x)
        finally:
            self.slow = CALLS.end() > SLOW_CALL_S
        return self._checked(source, y, x)

    def _checked(self, source: str, y: object, x: Tensor) -> Tensor:
        if not isinstance(y, Tensor):
            raise TeacherError(
                source,
                f"must return one tensor, returned {type(y).__name__}",
                remedy="of an array, torch.from_numpy makes one",
            )
        if y.is_complex() or y.is_quantized or y.layout is not torch.strided:
            raise TeacherError(source, f"must return a dense tensor of real numbers, returned {y.dtype}, {y.layout}")
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(x) or (self.outputs or y.shape[1]) != y.shape[1]:
            asked, shape = tuple(x.shape), tuple(y.shape)
            if self.outputs is None:
                rule = f"must answer {asked} with ({len(x)}, outputs), answered {shape}"
            else:
                rule = f"answered {len(x)} rows with shape {shape}, expected {(len(x), self.outputs)}"
            raise TeacherError(source, rule)
        self.outputs = y.shape[1]
        if y.is_inference() and not torch.is_inference_mode_enabled():
            y = y.clone()  # autograd takes no tensor that was made in inference mode
        if y.requires_grad and not torch.is_grad_enabled():
            y = y.detach()
        return y if y.device == x.device else y.to(x.device)

    def _spare(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, finite: Tensor) -> Tensor:
        """NaN for the rows that are no numbers, which the teacher is not asked for."""
        if not finite.any():
            return x.new_full((len(x), self.outputs or 1), torch.nan)
        y = self.ask(source, function, x[finite])
        return y.new_full((len(x), y.shape[1]), torch.nan).index_put((finite,), y)

    def _again(
        self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, problem: BaseException
    ) -> Tensor | BaseException:
        """Its answer where a repeated call gives one; the last failure where none does."""
        for pause in PAUSES if isinstance(problem, Exception) else ():
            kind, words = type(problem), message(problem)
            say = LOG.warning if pause and kind not in self.passed else LOG.info
            say("the teacher %s %s; it is asked again in %g s", source, raised(problem), pause)
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
                        "the teacher %s %s, then answered the same rows: this is repeated", source, raised(problem)
                    )
                self.passed.add(kind)
                return answer
        return problem

    def _failure(
        self, source: str, function: Callable[[Tensor], Tensor], x: Tensor, problem: BaseException
    ) -> TeacherError:
        """The error that says for what the teacher fails."""
        what, shape = raised(problem), tuple(x.shape)
        first = f"cannot answer {shape} inputs, the first {self.row(x[0])}" if len(x) else "cannot answer no rows"
        if passing(problem) or type(problem) in self.passed:
            return TeacherError(
                source,
                f"{first}: it {what}, {len(PAUSES) + 1} times in a row",
                remedy="see that it can be reached, then run the same command again",
            )
        row = size = None
        if not self.slow and len(x):
            row, size = blame(lambda rows: self._answers(source, function, rows), x.detach())
        if size is not None:
            return TeacherError(
                source,
                f"takes only a fixed batch size: {_rows(len(x))} failed where {_rows(size)} did not (it {what})",
                remedy=SIZE,
            )
        remedy = ENDS if not isinstance(problem, Exception) else AGAIN if self.outputs else ANY
        if row is not None:
            return TeacherError(source, f"{what}, asked {_rows(len(x))}, for {self.row(row)}", remedy=VALUES)
        return TeacherError(source, f"{first}: it {what}", remedy=remedy)

    def _answers(self, source: str, function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
        try:
            with torch.no_grad():
                self._once(source, function, x)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        return True


def passing(problem: BaseException) -> bool:
    """Whether a failure is of a kind that may be over in a moment."""
    name = type(problem).__name__.lower()
    lasting = isinstance(problem, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)
    return (isinstance(problem, PASSING) and not lasting) or any(word in name for word in WORDS)


def blame(answers: Callable[[Tensor], bool], x: Tensor) -> tuple[Tensor | None, int | None]:
    """What rows ``(N, D)`` that cannot be answered together fail for.

    Args:
        answers: whether rows are answered.
        x: rows.

    Returns:
        A row ``(D,)`` whose values are to blame, or a number of rows that is answered where another is not; or neither.
    """
    rows = len(x)
    # Copies of a row tell its values from the number of rows.
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
    """Suspects in their places, and a row that is answered in all others."""
    mixed = _copies(x[good], len(x)).clone()
    mixed[list(suspects)] = x[list(suspects)]
    return mixed


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"
