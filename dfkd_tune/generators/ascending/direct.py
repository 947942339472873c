"""Direct optimization of synthetic inputs: the proposal of Zhou & Chiam 2023, algorithm 1."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dfkd_tune.generators.ascending.ascent import Ascending, ascend
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Direct(Ascending):
    """Ascend from fresh prior rows on ``reward(gap) - gamma S^2`` for a few steps, with new optimizer state each time.

    All terms are per row. The published code takes gradients of a mean over ``m = 50`` rows, but does not divide its weight
    decay of 1e-5 and RMSprop's 1e-8 by m. Both are 50 times larger here, which gives the same steps.

    Args:
        steps: number of ascent steps.
        step_size: RMSprop learning rate; the first step moves every coordinate by ten times as much.
        decay: coupled weight decay on the inputs.
        gamma: penalty on large student outputs.
        ascent: ``rmsprop`` as published; ``sign`` repeats RMSprop's first step; ``normalized`` follows the gradient in steps
            of the same root mean square.
    """

    needs_gradients: ClassVar[bool] = True
    replays: ClassVar[bool] = True

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        return ascend(h, context, lambda x: context.objective_gradient(x, h.gamma))
