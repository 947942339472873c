"""Rows on which two clones of the teacher disagree: DisGUIDE (Rosenthal, Enouen, Pham & Tan, AAAI 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.ascending.ascent import Ascending, ascend
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.generators.network import Network
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Disagreement(Ascending):
    """``direct`` with a second clone C in place of the teacher: ascent from prior rows on ``reward(C - S) - gamma S^2``.

    DisGUIDE trains a generator to minimize ``-mean std(S(x), C(x))`` over the class probabilities of two clones, which learn from the same
    rows. For a single output ``std`` is ``|S(x) - C(x)| / sqrt(2)``, and the reward of the gap bound ``none`` is the square of the
    difference. So no query and no gradient of the teacher is spent on the search. What differs here:

    - The student is one clone. The other one is a network ``D -> hidden tanh -> O`` with its own initialization; after every step it
      learns from the rows of the student's batch, by RMSprop on the mean squared error.
    - Rows ascend from new prior rows instead of being those of a generator network. They differ by their origins, so that there is
      no diversity loss; its classes do not exist in regression. Rows are not replayed.

    Args:
        hidden: hidden units of the second clone.
        lr, weight_decay, momentum: settings of its RMSprop optimizer.
        steps, step_size, decay, gamma, ascent: as in ``direct``.
    """

    hidden: Annotated[int, Field(ge=1, le=100_000)] = 50
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def network_units(self) -> int:
        """Hidden units of the second clone."""
        return self.hidden

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return Network.init_state(features, self.hidden, outputs, rng, dtype)

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        return ascend(
            h, context, lambda x: context.objective_gradient(x, h.gamma, Network.vjp(state, context.present(x)))
        )

    @staticmethod
    def observe(h: Stacked, state: dict[str, Tensor], context: GeneratorContext, rows: Tensor, values: Tensor) -> None:
        everyone = range(len(rows))
        Network.train(h, state, context.present(rows), everyone, lambda y: (y - values) * (2.0 / values[0].numel()))
