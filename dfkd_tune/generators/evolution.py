"""Differential evolution of synthetic inputs, for teachers without gradients (Zhou & Chiam 2023, sections 3.3 and 5)."""

from __future__ import annotations

import warnings
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from dfkd_tune.generators.base import StepGenerator
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.inputs.missing import beyond
from dfkd_tune.utils.strategy import Stacked, strategy

BEYOND = 0.1
"""Width of the part of the search box in which a number is missing, as a share of its range."""
MEMBERS_AT_LEAST = 5
"""Fewest candidates that SciPy's differential evolution accepts."""


@strategy
class Evolution(StepGenerator):
    """SciPy's differential evolution (Storn & Price 1997), started from prior rows; its last population is the synthetic data.

    It minimizes ``-weight reward(gap) + pull (T - r)^2``. In the protein case of the paper, weight is 0.05 and pull is 1. Every
    candidate has its own target ``r``, drawn again for each evolution from the uniform distribution between ``low`` and ``high``.

    Args:
        generations: number of generations in one evolution.
        every: student steps between two evolutions; steps in between draw rows from the last population.
        rows: smallest number of candidates.
        weight: weight of the bounded gap, which is in the teacher's standard deviations.
        pull: weight of the distance to the target.
        low, high: range of the targets, in the teacher's units; default: two standard deviations around its mean.
        reach: half width of the search box around the center, in standard deviations; declared ranges narrow it.
        mutation, recombination: settings of ``scipy.optimize.differential_evolution``.
    """

    generations: Annotated[int, Field(ge=1, le=10_000)] = 5
    every: Annotated[int, Field(ge=1)] = 10
    rows: Annotated[int, Field(ge=MEMBERS_AT_LEAST, le=100_000)] = 100
    weight: Annotated[float, Field(ge=0)] = 1.0
    pull: Annotated[float, Field(ge=0)] = 0.0
    low: float | None = None
    high: float | None = None
    reach: Annotated[float, Field(gt=0)] = 3.0
    mutation: Annotated[float, Field(gt=0, lt=2)] = 0.7
    recombination: Annotated[float, Field(ge=0, le=1)] = 0.7

    uses_gap: ClassVar[bool] = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.weight + self.pull > 0:
            raise ValueError("weight and pull must not both be 0")
        return self

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"evolved": torch.zeros(self.rows, features, dtype=dtype)}

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        for k, clock in enumerate(context.clocks):
            if clock % h.every == 0:
                state["evolved"][k] = _evolve(h, context, k)
        wanted = context.origin.shape[1]
        picks = [torch.randint(h.rows, (wanted,), generator=rng) for rng in context.rngs]
        return torch.stack([state["evolved"][k][pick.to(state["evolved"].device)] for k, pick in enumerate(picks)])


def _evolve(h: Stacked, context: GeneratorContext, k: int) -> Tensor:
    """Candidates ``(rows, D)`` of member ``k`` after ``h.generations`` generations."""
    from scipy.optimize import differential_evolution

    like, rng = context.origin, context.rngs[k]
    reach = float(h.reach[k])
    low = context.geometry.low.clamp(min=-reach).double().cpu().numpy()
    high = context.geometry.high.clamp(max=reach).double().cpu().numpy()
    high = np.maximum(high, low + 1e-6)
    gapped, edge = list(context.gapped), like.new_tensor(high)
    begin = context.prior(h.rows, k)[0].double().cpu().numpy().clip(low, high)
    high[gapped] += BEYOND * (high - low)[gapped]
    begin = np.where(np.isnan(begin), high, begin)
    weight, pull = float(h.weight[k]), float(h.pull[k])
    low_target, high_target = _targets(h, context)
    target = low_target + (high_target - low_target) * torch.rand(h.rows, 1, generator=rng, dtype=like.dtype).to(like)

    def rows(candidates: np.ndarray) -> Tensor:
        z = torch.from_numpy(np.ascontiguousarray(candidates)).to(like)
        return context.project(beyond(z, edge, gapped))

    def objective(columns: np.ndarray) -> np.ndarray:
        z = rows(columns.T)
        values = context.query_one(k, z)
        reward = context.reward_of(k, values - context.one_student(k, z))
        goal = target if len(z) == len(target) else target[:1]
        return (pull * (values - goal).square().mean(-1) - weight * reward).double().cpu().numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = differential_evolution(
            objective,
            list(zip(low, high, strict=True)),
            init=begin,  # pyright: ignore[reportArgumentType]  # SciPy has no types; its default is a string
            maxiter=h.generations,
            strategy="rand1bin",
            mutation=float(h.mutation[k]),
            recombination=float(h.recombination[k]),
            tol=0.0,
            polish=False,
            updating="deferred",
            vectorized=True,
            rng=int(torch.randint(2**31, (1,), generator=rng)),
        )
    return rows(found.population)


def _targets(h: Stacked, context: GeneratorContext) -> tuple[Tensor, Tensor]:
    """Lower and upper end of the targets, ``(O,)`` each, normalized."""
    shift, spread = context.units
    low = torch.full_like(shift, -2.0) if h.low is None else (h.low - shift) / spread
    high = torch.full_like(shift, 2.0) if h.high is None else (h.high - shift) / spread
    return low, high
