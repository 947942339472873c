"""Unchanged prior rows: N(0, I) if nothing is declared about the inputs."""

from __future__ import annotations

from torch import Tensor

from dfkd_tune.generators.base import StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Gaussian(StepGenerator):
    """Prior rows without optimization. With alpha constant 0 this is the random sampling baseline of both papers."""

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        return context.origin
