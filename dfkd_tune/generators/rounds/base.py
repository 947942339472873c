"""The interface of a generator that chooses rows in rounds, for a study with a total number of queries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field
from torch import Generator, Tensor

from dfkd_tune.generators.low_discrepancy import Sobol
from dfkd_tune.utils.strategy import strategy

Answer = Callable[[Tensor], Tensor]
"""A student: from standardized rows ``(n, D)`` to normalized outputs ``(n, O)``."""


@strategy
class RoundGenerator(Sobol):
    """Scrambled Sobol rows in the first round; those of later rounds are chosen among candidates with the students of finished trials.

    A study with ``budget.total_queries`` asks in rounds for all of its trials; elsewhere such a generator is ``sobol``.

    Args:
        candidates: candidates for each row.
    """

    candidates: Annotated[int, Field(ge=2, le=1_000)] = 16

    @abstractmethod
    def choose(
        self, candidates: Tensor, rows: int, asked: Tensor, committee: Sequence[Answer], rng: Generator
    ) -> Tensor:
        """Indices ``(rows,)`` of candidates ``(N, D)``, none twice.

        Args:
            candidates: standardized candidates without missing values; at least ``rows``.
            rows: number of rows to choose.
            asked: standardized rows ``(M, D)`` that were asked before, without missing values.
            committee: students of the best trials, the best first; perhaps none.
            rng: source of random numbers.
        """
