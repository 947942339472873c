"""One distillation under way: its clock, its random stream and everything that evolves."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .generators import Sampled
from .losses import Mix
from .problem import Problem
from .recipe import Recipe
from .seeds import derive

BLOCK = 100
"""Steps whose prior rows a member draws from its stream at a time."""
RUNGS = 20
"""Evaluations on the pruning bank a run."""


@dataclass
class Member:
    """One distillation under way.

    Args:
        key: what its owner calls it.
        recipe: its choices.
        seed: of its own random stream.
        rungs: evaluations on the pruning bank over its run.
    """

    key: Hashable
    recipe: Recipe
    seed: int
    rungs: int = RUNGS
    clock: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    failure: str | None = None
    teacher_rows: int = 0
    level: float = 1.0
    synthesis: dict[str, float] = field(default_factory=dict)
    weights: list[Tensor] = field(default_factory=list, repr=False)
    first: list[Tensor] = field(default_factory=list, repr=False)
    second: list[Tensor] = field(default_factory=list, repr=False)
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    best: tuple[float, list[Tensor]] | None = field(default=None, repr=False)
    rng: torch.Generator = field(default_factory=torch.Generator, repr=False)
    block: Tensor | None = field(default=None, repr=False)
    engine: Any = field(default=None, repr=False)
    sampled: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def begin(self, problem: Problem) -> None:
        self.rng.manual_seed(derive(self.seed, "member"))
        size = (problem.features, problem.outputs)
        begun = self.recipe.start.begin(self.recipe, problem, self.rng)
        self.weights = [w.to(problem.device) for w in begun]
        self.first = [torch.zeros_like(w) for w in self.weights]
        self.second = [torch.zeros_like(w) for w in self.weights]
        state = self.recipe.generator.start(*size, self.rng, problem.dtype)
        self.state = {name: value.to(problem.device) for name, value in state.items()}
        if isinstance(self.recipe.generator, Sampled):
            self.engine = self.recipe.generator.engine(problem.features, derive(self.seed, "engine"))

    def draw_block(self, problem: Problem) -> None:
        """Choose the pool rows of the next ``BLOCK`` steps, and draw and label what a sampler makes of them."""
        self.block = torch.randint(len(problem.pool), (BLOCK, self.recipe.batch), generator=self.rng)
        rows = synthetic_rows(self.recipe)
        if self.engine is not None and rows:
            z = self.recipe.generator.block(problem.inputs, BLOCK, rows, self.engine).to(problem.device, problem.dtype)
            values = problem.answer_in_chunks(z.view(-1, problem.features)).view(BLOCK, rows, -1)
            self.teacher_rows += BLOCK * rows
            self.sampled = (z, values)

    @property
    def steps(self) -> int:
        """Student steps between the start and the finish."""
        return max(
            1,
            round(self.recipe.steps * min(self.recipe.finish.after, 1 - self.recipe.start.share(self.recipe.student))),
        )

    @property
    def next_rung(self) -> int:
        """The clock of its next evaluation; the last one is the end."""
        steps, rungs = self.steps, min(self.rungs, self.steps)
        done = self.clock * rungs // steps
        return next(rung for i in range(done, rungs + 1) if (rung := i * steps // rungs) > self.clock)

    @property
    def finished(self) -> bool:
        return self.clock >= self.steps or self.failure is not None

    def result(self) -> list[Tensor]:
        """The weights it is judged by: those of its best rung on the pruning bank."""
        return self.best[1] if self.best else self.weights


def synthetic_rows(recipe: Recipe) -> int:
    """Rows of a batch that come from the generator."""
    return {Mix.PRIOR: 0, Mix.BOTH: recipe.batch // 2, Mix.SYNTHETIC: recipe.batch}[Mix.of(recipe.alpha)]
