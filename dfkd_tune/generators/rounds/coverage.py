"""``coverage``: rows that hold pairs of feature bins that no row had before, after TabKD (Pereira, Khadka & Lei 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.learned.bins import bins_of, edges_of
from dfkd_tune.generators.rounds.base import Answer, RoundGenerator
from dfkd_tune.utils.strategy import strategy


@strategy
class Coverage(RoundGenerator):
    """Scrambled Sobol rows in the first round; later rows with pairs of feature bins that were asked least.

    The bins of a feature are learned: their edges divide the range of its candidates so that the best student's mean output, given
    the feature, changes equally in each, half by that and half by quantiles. With ``c(i, a, j, b)`` rows so far in bin a of feature i
    and bin b of feature j, a row has the score ``sum_{i<j} 1 / (1 + c(i, a_i, j, b_j))``. Of ``candidates`` candidates the one with the
    largest score is taken, and counted, one after the other: the interactions of features that TabKD (arXiv 2603.15481) covers by a
    network, by choice among prior rows.

    Args:
        bins: bins of each feature.
    """

    bins: Annotated[int, Field(ge=2, le=16)] = 5

    def choose(
        self, candidates: Tensor, rows: int, asked: Tensor, committee: Sequence[Answer], rng: torch.Generator
    ) -> Tensor:
        """As ``RoundGenerator.choose``; without a student, bins are quantiles."""
        z = candidates.double().cpu()
        answers = committee[0](candidates).double().cpu().nan_to_num() if committee else torch.zeros(len(z), 1).double()
        edges = edges_of(z, answers, self.bins)
        places, before = bins_of(z, edges), bins_of(asked.double().cpu(), edges)
        counts = torch.zeros(2 * (len(edges) * self.bins,), dtype=torch.float64)
        for row in before:
            counts[row[:, None], row] += 1
        chosen = []
        for group in torch.arange(len(z)).tensor_split(rows):
            scores = (1 / (1 + counts[places[group][:, :, None], places[group][:, None, :]])).sum((1, 2))
            index = int(group[scores.argmax()])
            row = places[index]
            counts[row[:, None], row] += 1
            chosen.append(index)
        return torch.tensor(chosen, dtype=torch.long)
