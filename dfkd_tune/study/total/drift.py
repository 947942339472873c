"""See that a teacher still answers as it did: rows that were answered at other times are trained on together."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import tolerated


def require_same(teacher: Teacher, x: Tensor, kept: Tensor, answered: Tensor) -> None:
    """Ask a teacher rows ``(n, D)`` again, and compare its answers with the kept ones ``(n, O)``.

    A probed teacher repeats its answers up to ``probe.tolerated``. One that does not is asked once more: if it repeats the new answer,
    it has changed, and otherwise it is noisy.

    Args:
        teacher, x, kept: the teacher, raw rows in its dtype, and what it answered them.
        answered: many of its kept answers ``(N, O)``, for their size and spread.

    Raises:
        TeacherError: an answer differs by more than rounding; the message shows the row.
    """
    limit, spread = tolerated(answered), answered.double().std(0)
    now = _asked(teacher, x)
    row, output = _farthest(kept, now, spread)
    if _same(kept, now, limit):
        return
    once_more = _asked(teacher, x)
    apart = float((kept - now).abs()[row, output] / spread[output])
    distance = f", {apart:.2g} of its standard deviation apart" if isfinite(apart) else ""
    place, told = teacher.source, f"{teacher.guard.row(x[row])} got {float(kept[row, output]):.8g}"
    if _same(now, once_more, limit):
        rule = (
            f"answers otherwise than when this study asked it before: {told} then and {float(now[row, output]):.8g} now"
        )
        remedy = (
            "restore the teacher that answered before and run the same command again, or start a study of another name"
        )
    else:
        rule = f"must be deterministic, the same row got different answers: {told} before, {float(now[row, output]):.8g} and "
        rule += f"{float(once_more[row, output]):.8g} now"
        remedy = "average repeated answers or fix its seed, then start a study of another name"
    raise TeacherError(place, rule + distance, remedy=remedy)


def _asked(teacher: Teacher, x: Tensor) -> Tensor:
    with torch.no_grad():
        return teacher(x).detach().cpu()


def _same(before: Tensor, now: Tensor, limit: Tensor) -> bool:
    alike = (before.double() - now.double()).abs() <= limit
    return bool((alike | (before.isnan() & now.isnan())).all())


def _farthest(before: Tensor, now: Tensor, spread: Tensor) -> tuple[int, int]:
    """Row and output of the largest difference, in standard deviations."""
    apart = (before.double() - now.double()).abs() / spread.clamp(min=torch.finfo(torch.float64).tiny)
    return divmod(int(apart.nan_to_num(torch.inf).argmax()), apart.shape[1])
