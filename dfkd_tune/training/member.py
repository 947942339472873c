"""``Member``: one distillation in progress, with its clock, random stream and training state."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator, StepGenerator
from dfkd_tune.recipes.mixing import Mix
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.training.banks import Pool
from dfkd_tune.training.plugin_rows import declared, is_plugin, not_finite
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.rungs import RUNGS
from dfkd_tune.utils.seeding import derive

REPLAYED = 4_000
"""Number of the latest queried synthetic rows that a member with a query budget keeps for reuse."""
BLOCK = 100
"""Number of steps whose prior rows a member draws at once."""


@dataclass
class Member:
    """One distillation in progress. Its budget is counted in student steps; its clock is the number of steps done.

    Args:
        key: identifier, chosen by the caller.
        recipe: recipe of the student.
        seed: seed of the member's random stream.
        rungs: number of evaluations on the pruning bank over the budget.
        clock: number of student steps done.
        curve: points ``(clock, rmse)`` on the pruning bank.
        failure: why it has no student; None if nothing failed.
        teacher_rows: number of teacher rows queried for it alone.
        level: its normalized RMSE on prior rows of the latest steps, for adaptive gap bounds.
        synthesis: metrics of its synthetic rows at its latest rung.
        start: weights that it begins with; None for those of its recipe's initializer.
        weights, first, second: its student's weights, and the optimizer's moments of the same shapes.
        average: moving average of its weights.
        state: state of its generator.
        kept: normalized RMSE and weights at the rung that its recipe's checkpoint chooses.
        rng: its random stream.
        block: indices ``(BLOCK, batch)`` of the pool rows of the current block.
        engine: source of a block generator's random numbers.
        sampled: a block generator's rows ``(BLOCK, rows, D)`` of the current block, and the teacher's outputs.
        answered_rows: number of answered rows that all students shared when it began; None where that number does not grow.
        fold: which split of the rows it trains on, where rows are few.
        companions: members of the same trial for the other folds, once it has left its population.
        assistants: members that train before it and label its lesson; none once they have.
        lesson: rows labeled by its assistants or a committee; None without any.
        lesson_block: indices ``(BLOCK, rows)`` of the rows of its lesson in the current block.
        drawn: number of rows that it has remembered so far.
        answered: the latest of these rows, with the teacher's outputs and perhaps input gradients.
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
    start: Sequence[Tensor] | None = field(default=None, repr=False)
    weights: list[Tensor] = field(default_factory=list, repr=False)
    first: list[Tensor] = field(default_factory=list, repr=False)
    second: list[Tensor] = field(default_factory=list, repr=False)
    average: list[Tensor] = field(default_factory=list, repr=False)
    state: dict[str, Tensor] = field(default_factory=dict, repr=False)
    kept: tuple[float, list[Tensor]] | None = field(default=None, repr=False)
    rng: torch.Generator = field(default_factory=torch.Generator, repr=False)
    block: Tensor | None = field(default=None, repr=False)
    engine: Any = field(default=None, repr=False)
    sampled: tuple[Tensor, Tensor] | None = field(default=None, repr=False)
    answered_rows: int | None = None
    fold: int = 0
    companions: list[Member] = field(default_factory=list, repr=False)
    assistants: list[Member] = field(default_factory=list, repr=False)
    lesson: Pool | None = field(default=None, repr=False)
    lesson_block: Tensor | None = field(default=None, repr=False)
    drawn: int = 0
    answered: tuple[Tensor, ...] = field(default=(), repr=False)

    def begin(self, problem: Problem) -> None:
        """Make its initial weights, optimizer moments and generator state."""
        self.rng.manual_seed(derive(self.seed, "member"))
        self.answered_rows = problem.answered_rows
        begun = self.start
        if begun is None:
            begun = self.recipe.initializer.init(problem.init_context(self.recipe, self.fold), self.rng)
        self.weights = [w.to(problem.device) for w in begun]
        self.first = [torch.zeros_like(w) for w in self.weights]
        self.second = [torch.zeros_like(w) for w in self.weights]
        self.average = [w.clone() for w in self.weights]
        generator = self.recipe.generator
        if isinstance(generator, StepGenerator):
            state = generator.init_state(problem.features, problem.outputs, self.rng, problem.dtype)
            self.state = {name: value.to(problem.device) for name, value in state.items()}
        if isinstance(generator, BlockGenerator):
            self.engine = generator.engine(problem.features, derive(self.seed, "engine"))

    def draw_block(self, problem: Problem) -> None:
        """Choose the pool rows of the next ``BLOCK`` steps; a block generator's rows are drawn and labeled here too."""
        self.block = problem.drawn((BLOCK, self.recipe.batch), self.fold, self.rng)
        rows = synthetic_rows(self.recipe)
        if self.lesson is not None:
            self.lesson_block = self.lesson_rows(BLOCK * self.lesson_share(self.recipe.batch - rows)).view(BLOCK, -1)
        generator = self.recipe.generator
        if isinstance(generator, BlockGenerator) and rows:
            fresh = min(BLOCK, self.allowance(self.clock + BLOCK) // rows)
            if fresh < BLOCK and self.recipe.teacher_rows is not None:
                return self._draw_some(problem, generator, max(fresh, int(self.clock == 0)), rows)
            z = self.blind_rows(problem, generator, BLOCK, rows)
            values = problem.answer_in_chunks(z.view(-1, problem.features)).view(BLOCK, rows, -1)
            self.teacher_rows += BLOCK * rows
            self.sampled = (z, values)

    def lesson_share(self, rows: int) -> int:
        """How many of ``rows`` prior rows are replaced by those of its lesson."""
        return 0 if self.lesson is None else min(rows, max(1, round(self.recipe.assistant.batch_share * rows)))

    def lesson_rows(self, count: int) -> Tensor:
        """Random indices ``(count,)`` of the rows of its lesson."""
        assert self.lesson is not None
        return torch.randint(len(self.lesson), (count,), generator=self.rng).to(self.lesson.z.device)

    def replace_by_lesson(self, z: Tensor, values: Tensor, gradients: Tensor | None) -> None:
        """Write the rows of its lesson for the next step over the last rows of its batch ``(batch, ...)``, which are prior rows."""
        assert self.lesson is not None and self.lesson_block is not None  # drawn with the block
        index = self.lesson_block[self.clock % BLOCK]
        last = slice(len(z) - len(index), None)
        z[last], values[last] = self.lesson.z[index], self.lesson.values[index]
        if gradients is not None and self.lesson.gradients is not None:
            gradients[last] = self.lesson.gradients[index]

    def _draw_some(self, problem: Problem, generator: BlockGenerator, steps: int, rows: int) -> None:
        """Fill a block from rows queried before, plus as many new rows as the query budget allows."""
        if steps:
            z = self.blind_rows(problem, generator, steps, rows).view(-1, problem.features)
            self.remember(z, problem.answer_in_chunks(z))
            self.teacher_rows += len(z)
        z, values = self.replay(BLOCK * rows)
        self.sampled = (z.view(BLOCK, rows, -1), values.view(BLOCK, rows, -1))

    def blind_rows(self, problem: Problem, generator: BlockGenerator, steps: int, rows: int) -> Tensor:
        """The next rows ``(steps, rows, D)`` of a block generator."""
        drawn, kind = generator.block(problem.inputs, steps, rows, self.engine), type(generator)
        if not is_plugin(kind):
            return drawn.to(problem.device, problem.dtype)
        made = declared(problem.inputs, kind, drawn, (steps, rows, problem.features), problem.pool.z)
        self.failure = self.failure or not_finite(problem.inputs, kind, drawn)
        return made

    @property
    def sampled_step(self) -> tuple[Tensor, Tensor]:
        """Rows ``(rows, D)`` of the block generator for the next step, and the teacher's outputs ``(rows, O)``."""
        assert self.sampled is not None  # drawn with the block
        z, values = self.sampled
        return z[self.clock % BLOCK], values[self.clock % BLOCK]

    def allowance(self, clock: int) -> int:
        """Teacher rows it may still query until step ``clock``, at an even pace; half are kept for a refiner that makes rows."""
        if self.recipe.teacher_rows is None:
            return 10**12
        share = 0.5 if self.recipe.refiner.synthetic_share else 1.0
        return max(0, int(share * self.recipe.teacher_rows * min(1.0, clock / self.steps)) - self.teacher_rows)

    @property
    def rests(self) -> bool:
        """Whether its query budget is used up for now and it has rows to reuse."""
        return bool(self.answered) and self.allowance(self.clock + 1) == 0

    def remember(self, *rows: Tensor) -> None:
        """Keep queried rows ``(n, D)``, teacher outputs ``(n, O)`` and, if they are matched, input gradients."""
        self.drawn += len(rows[0])
        before = self.answered or tuple(part[:0] for part in rows)
        self.answered = tuple(torch.cat(both)[-REPLAYED:] for both in zip(before, rows, strict=True))

    def replay(self, count: int) -> tuple[Tensor, ...]:
        """Draw ``count`` of the remembered rows, in the form in which ``remember`` took them."""
        index = torch.randint(len(self.answered[0]), (count,), generator=self.rng).to(self.answered[0].device)
        return tuple(part[index] for part in self.answered)

    def affordable(self, wanted: int, price: int) -> int:
        """How many of ``wanted`` synthetic rows half of the remaining query budget pays for, at ``price`` queries or more each."""
        if self.recipe.teacher_rows is None:
            return wanted
        left = max(0, self.recipe.teacher_rows - self.teacher_rows) // 2
        return min(wanted, int(left / max(price, self.teacher_rows / max(1, self.drawn) + price)))

    @property
    def steps(self) -> int:
        """Optimizer steps, between initializer and refiner."""
        return max(1, round(self.recipe.steps * min(self.recipe.refiner.begins, 1 - self.prepaid)))

    @property
    def prepaid(self) -> float:
        """Share of its budget that its initializer uses."""
        return 0.0 if self.start is not None else self.recipe.initializer.budget_fraction(self.recipe.student)

    @property
    def next_rung(self) -> int:
        """Clock of its next evaluation: at even shares of the budget, initializer and refiner included, and at the last step."""
        budget, begun = self.recipe.steps, self._begun
        rungs = min(self.rungs, budget)
        done = (begun + self.clock) * rungs // budget
        clocks = (i * budget // rungs - begun for i in range(done, rungs + 1))
        return min(next((clock for clock in clocks if clock > self.clock), self.steps), self.steps)

    @property
    def rung(self) -> int:
        """Index of its latest evaluation, counted from 1; the step passed to ``trial.report``. Strictly increasing."""
        budget, rungs = self.recipe.steps, min(self.rungs, self.recipe.steps)
        return min(max(1, -(-(self._begun + self.clock) * rungs // budget)), rungs)

    @property
    def _begun(self) -> int:
        """Steps that the initializer counts as."""
        return round(self.prepaid * self.recipe.steps)

    @property
    def finished(self) -> bool:
        """Whether it has done its steps or failed."""
        return self.clock >= self.steps or self.failure is not None

    @property
    def spent(self) -> bool:
        """Whether it needs no more of its budget: it failed, or its steps are done and no refiner follows."""
        return self.failure is not None or (self.finished and not self.recipe.refiner.refines)

    def result(self) -> list[Tensor]:
        """The weights that its recipe's checkpoint keeps."""
        return self.kept[1] if self.kept else self.weights


def synthetic_rows(recipe: Recipe) -> int:
    """Number of rows of a batch that the generator makes."""
    return {Mix.PRIOR: 0, Mix.BOTH: recipe.batch // 2, Mix.SYNTHETIC: recipe.batch}[Mix.of(recipe.alpha)]
