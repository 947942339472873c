"""Prior rows as they are drawn: N(0, I) where nothing is known of the inputs."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Gaussian:
    """No optimization; with alpha constant 0 it is the random sampling baseline of both papers."""

    uses_gap: ClassVar[bool] = False
    starts_from_prior: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = False

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return {}

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        return context.origin
