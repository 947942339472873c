"""The number of features of a teacher that no file declares: from its weights, or by trial calls."""

from __future__ import annotations

import math
import time
from itertools import islice

import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher

WIDTH_SEARCH_S = 20.0
"""Longest search for the number of features, in seconds."""


def infer_width(teacher: Teacher) -> int:
    """Find the number of features of a teacher without a features file, from its weights or by trial calls.

    Raises:
        TeacherError: the teacher accepts no width from 1 to 4096, or several.
    """
    if teacher.width is not None:
        return teacher.width
    if teacher.kept is not None or teacher.guard.meter is not None:  # thousands of queries would be too many
        raise TeacherError(
            teacher.source, "does not tell its number of features", remedy="give a features file with their names"
        )
    weights = getattr(teacher.function, "parameters", lambda: ())()
    guesses = [p.shape[1] for p in weights if p.ndim == 2]
    for width in guesses:
        if _accepts(teacher, width):
            return width
    until = time.monotonic() + WIDTH_SEARCH_S
    widths = list(islice((width for width in range(1, 4097) if _accepts(teacher, width, until)), 2))
    if len(widths) == 1 or (guesses and not widths):
        return (widths or guesses)[0]  # if no width works, the cause is another, which the probe reports
    found = f"both {widths[0]} and {widths[1]} are accepted" if widths else "no number up to 4096 is accepted"
    raise TeacherError(
        teacher.source,
        f"its number of features cannot be found: {found}",
        remedy=f"give a features file ({_shapes(teacher)} where it takes more than rows of numbers)",
    )


def _not_fitted(failure: BaseException | None) -> bool:
    """Whether an estimator failed because it was never fitted, so that it accepts no width."""
    from sklearn.exceptions import NotFittedError

    return isinstance(failure, NotFittedError)


def _shapes(teacher: Teacher) -> str:
    name = "x" if teacher.signature is None else teacher.signature.arguments[0].name
    return f"arguments: {{{name}: {{shape: [24, 6]}}}}"


def _accepts(teacher: Teacher, width: int, until: float = math.inf) -> bool:
    if time.monotonic() > until:
        raise TeacherError(
            teacher.source,
            f"its number of features cannot be found: {width - 1} numbers took more than {WIDTH_SEARCH_S:g} s to try",
            remedy="give a features file",
        )
    try:
        with torch.no_grad():
            teacher.guard.once(teacher.source, teacher.function, torch.zeros(2, width, dtype=teacher.dtype))
    except TeacherError as error:
        if _not_fitted(error.__cause__):
            raise TeacherError(teacher.source, "is not fitted", remedy="fit it first") from None
        return False
    return True
