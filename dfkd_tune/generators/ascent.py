"""What ``direct`` and ``zeroth_order`` share: a few cold-started ascent steps from prior rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from ..strategy import Stacked
from .contest import Contest

Ascent = Literal["rmsprop", "sign", "normalized"]
SMOOTHING = 0.99
COLD = 10.0
"""A cold RMSprop step moves ``lr / sqrt(1 - SMOOTHING)`` in every coordinate; the other ascents take as long a step."""
EPS = 50 * 1e-8
"""RMSprop's 1e-8 is published for gradients of a mean over 50 rows; the gradients here are per row."""


def ascend(h: Stacked, contest: Contest, uphill: Callable[[Tensor], Tensor]) -> Tensor:
    """Move the contest's prior rows ``h.steps`` times.

    Args:
        h: with ``steps``, ``step_size``, ``decay`` and ``ascent``.
        contest: of the group.
        uphill: gradient of the objective at ``x``, ``(k, G, D)``.
    """
    x, average = contest.origin, None
    for _ in range(h.steps):
        slope = uphill(x).neg().addcmul_(h.decay, x)
        if h.ascent == "rmsprop":
            square = slope.square() * (1 - SMOOTHING)
            average = square if average is None else average.mul_(SMOOTHING).add_(square)
            move = slope.div_(average.sqrt().add_(EPS))
        elif h.ascent == "sign":
            move = slope.sign_().mul_(COLD)
        else:
            move = slope.div_(slope.square().mean(-1, keepdim=True).sqrt_().add_(EPS)).mul_(COLD)
        x = contest.contain(x - h.step_size * move)
    return x
