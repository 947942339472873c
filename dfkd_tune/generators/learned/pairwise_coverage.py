"""Rows that hold the pairs of feature bins seen least, in every step: after TabKD (Pereira, Khadka & Lei 2026)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.base import StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.generators.learned.bins import bins_of, edges_of
from dfkd_tune.utils.strategy import Stacked, strategy

LEARNED = 4_096
"""Prior rows with the teacher's outputs from which the bins are learned."""


@strategy
class PairwiseCoverage(StepGenerator):
    """Of ``candidates`` prior rows, the one with the largest ``sum_{i<j} 1 / (1 + c(i, a_i, j, b_j))``, for each row of a step.

    ``c(i, a, j, b)`` counts the earlier rows in bin a of feature i and bin b of feature j. TabKD (arXiv 2603.15481) learns bins along the
    teacher's decision boundaries and trains a network to cover their pairs. A regression has no boundaries: here the edges of a
    feature's bins divide the prior rows so that the teacher's mean output, given the feature, changes equally in each, half by that and
    half by quantiles. Choice among prior rows takes the network's place, so that rows keep what is declared of the inputs. Counts
    are those before the step.

    It is for tables: time and memory grow with the square of ``features * bins``. With a total number of queries, ``coverage``
    chooses so for all trials.

    Args:
        bins: bins of each feature.
        candidates: candidates for each row.
    """

    bins: Annotated[int, Field(ge=2, le=16)] = 5
    candidates: Annotated[int, Field(ge=2, le=1_000)] = 8

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        cells = features * self.bins
        return {
            "edges": torch.zeros(features, self.bins - 1, dtype=dtype),
            "counts": torch.zeros(cells, cells, dtype=dtype),
        }

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        for k, clock in enumerate(context.clocks):
            if clock == 0:
                z, values = context.prior(LEARNED, k)
                state["edges"][k] = edges_of(context.present(z).double().cpu(), values.double().cpu(), h.bins)
        (members, rows, features), counts = context.origin.shape, state["counts"]
        drawn = torch.stack([context.prior(h.candidates * rows, k)[0] for k in range(members)])
        held = _one_hot(bins_of(context.present(drawn), state["edges"]), counts)
        of = torch.arange(len(counts[0]), device=counts.device) // h.bins
        wanted = torch.where(of[:, None] != of, 1 / (1 + counts), 0.0)
        best = (torch.bmm(held, wanted) * held).sum(-1).view(members, h.candidates, rows).argmax(1)
        index = (best * rows + torch.arange(rows, device=best.device)).unsqueeze(-1)
        taken = held.gather(1, index.expand(-1, -1, held.shape[-1]))
        state["counts"] = torch.baddbmm(counts, taken.mT, taken)
        return drawn.gather(1, index.expand(-1, -1, features))


def _one_hot(places: Tensor, like: Tensor) -> Tensor:
    """Which of the cells each row holds: from numbers of cells ``(k, n, D)`` to zeros and ones ``(k, n, D * bins)``."""
    return like.new_zeros(*places.shape[:2], like.shape[-1]).scatter_(2, places, 1.0)
