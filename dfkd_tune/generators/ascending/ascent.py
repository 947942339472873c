"""The ascent of ``direct``, ``zeroth_order`` and ``disagreement``: a few steps from prior rows, without optimizer state from earlier steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy

Ascent = Literal["rmsprop", "sign", "normalized"]
SMOOTHING = 0.99
"""RMSprop's decay of the mean square, ``alpha`` in PyTorch."""
COLD = 10.0
"""RMSprop's first step moves every coordinate by ``lr / sqrt(1 - SMOOTHING)``; the other ascents take steps of this length."""
EPS = 50 * 1e-8
"""The published 1e-8 of RMSprop is for gradients of a mean over 50 rows; the gradients here are per row."""


@strategy
class Ascending(StepGenerator):
    """Base of generators whose rows ascend from prior rows; ``direct`` says what the fields mean."""

    steps: Annotated[int, Field(ge=1, le=1000)] = 2
    step_size: Annotated[float, Field(gt=0)] = 0.1
    decay: Annotated[float, Field(ge=0)] = 5e-4
    gamma: Annotated[float, Field(ge=0)] = 1e-5
    ascent: Ascent = "rmsprop"

    uses_gap: ClassVar[bool] = True
    starts_from_prior: ClassVar[bool] = True


def ascend(h: Stacked, context: GeneratorContext, uphill: Callable[[Tensor], Tensor]) -> Tensor:
    """Move the context's prior rows ``h.steps`` times.

    Args:
        h: stacked hyper-parameters ``steps``, ``step_size``, ``decay`` and ``ascent``.
        context: the group's context at this step.
        uphill: maps rows ``(k, G, D)`` to the gradient of the objective there, of the same shape.
    """
    x, squares = context.origin, None
    stride = COLD * h.step_size
    for _ in range(h.steps):
        gradient = uphill(x).addcmul_(h.decay, context.present(x), value=-1.0)
        if h.ascent == "rmsprop":  # COLD = (1 - SMOOTHING) ** -0.5 is in the stride, and so in EPS
            squares = gradient.square() if squares is None else squares.mul_(SMOOTHING).addcmul_(gradient, gradient)
            move = gradient.div_(squares.sqrt().add_(COLD * EPS))
        elif h.ascent == "sign":
            move = gradient.sign_()
        else:
            move = gradient.div_(gradient.square().mean(-1, keepdim=True).sqrt_().add_(EPS))
        x = context.contain(torch.addcmul(x, stride, move))
    return x
