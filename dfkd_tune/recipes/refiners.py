"""Refiners, which improve a student after the optimizer's steps: none, or L-BFGS on fixed banks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dfkd_tune.ops.lbfgs import Search
from dfkd_tune.recipes.base import Batch, DrawBank, Fit, Refiner
from dfkd_tune.students.base import SobolevTarget, ValueTarget
from dfkd_tune.students.sobolev import loss_and_gradients
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class NoRefiner(Refiner):
    """Keep the optimizer's last weights, as in both papers."""

    refines: ClassVar[bool] = False

    def refine(
        self,
        task: Fit,
        weights: Sequence[Tensor],
        draw: DrawBank,
        budget: int,
        begun: float = 0.0,
    ) -> list[Tensor]:
        """The weights, unchanged."""
        return list(weights)


@strategy
class LBFGS(Refiner):
    """L-BFGS with strong Wolfe line search (Nocedal & Wright 2006, ch. 7) on a new bank of rows in each round.

    Args:
        after: share of the row budget (steps times batch) that the optimizer uses before. The rest sets the number of
            iterations, so that every setting costs the same.
        rows: number of rows in the bank of each round.
        synthetic: share of these rows that the trial's generator makes against the current student.
        rounds: number of rounds.
        history: number of update pairs that L-BFGS estimates the curvature from.
    """

    after: Annotated[float, Field(gt=0, le=1)] = 0.02
    rows: Annotated[int, Field(ge=10, le=10**7)] = 4_000
    synthetic: Annotated[float, Field(ge=0, le=1)] = 0.25
    rounds: Annotated[int, Field(ge=1, le=1_000)] = 1
    history: Annotated[int, Field(ge=1, le=1_000)] = 50

    @property
    def begins(self) -> float:
        """Same as ``after``."""
        return self.after

    @property
    def bank_rows(self) -> int:
        """Same as ``rows``."""
        return self.rows

    @property
    def synthetic_share(self) -> float:
        """Same as ``synthetic``."""
        return self.synthetic

    def iterations(self, budget: int, begun: float) -> int:
        """Number of iterations over all rounds, for a row budget of which the initializer used the share ``begun``."""
        return max(self.rounds, round(max(0.0, 1 - self.after - begun) * budget / self.rows))

    def refine(
        self,
        task: Fit,
        weights: Sequence[Tensor],
        draw: DrawBank,
        budget: int,
        begun: float = 0.0,
    ) -> list[Tensor]:
        """Improved weights of one member after ``rounds`` rounds of L-BFGS, each on a new bank."""
        each = self.iterations(budget, begun) // self.rounds
        values = [w.detach().clone() for w in weights]
        hard = round(self.rows * self.synthetic)
        for _ in range(self.rounds):
            bank = draw(values, self.rows - hard, hard)
            values = minimize(task, values, bank, each, self.history)
        return values


def minimize(task: Fit, weights: Sequence[Tensor], bank: Batch, iterations: int, history: int) -> list[Tensor]:
    """Minimize the loss of one member on a bank by L-BFGS; the returned weights are never worse than the given ones.

    Args:
        task: the student and its loss.
        weights: current weights of the member.
        bank: encoded rows, teacher outputs, and input gradients or None.
        iterations: largest number of iterations.
        history: number of update pairs that L-BFGS estimates the curvature from.
    """
    student, columns, weight, matched = task
    leaves = [w.detach().clone().unsqueeze(0).requires_grad_() for w in weights]
    z, values = bank[0].unsqueeze(0), bank[1].unsqueeze(0)
    share, weighed = z.new_full((1, 1, 1), 1 / len(z[0])), z.new_full((1, 1, 1), weight)
    if matched is not None:
        weighed = weighed * matched.repeat(values.shape[-1])
    target: ValueTarget | SobolevTarget = ValueTarget(values, share)
    if bank[2] is not None:
        target = SobolevTarget(values, bank[2].unsqueeze(0), share, weighed)
    optimizer = Search(
        leaves,
        max_iter=iterations,
        max_eval=iterations * 3 // 2,
        history_size=history,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        found = loss_and_gradients(student, [leaf.detach() for leaf in leaves], z, columns, target)
        for leaf, gradient in zip(leaves, found.gradients, strict=True):
            leaf.grad = gradient.contiguous()  # torch.optim.LBFGS flattens it with ``view``
        return found.loss().sum()

    before = closure()
    optimizer.step(closure)
    after = closure()
    if not after <= before:  # also true for NaN: keep the weights if the line search failed
        return list(weights)
    return [leaf.detach().squeeze(0) for leaf in leaves]


REFINERS: Registry[type[Refiner]] = Registry("refiners", Refiner, {"none": NoRefiner, "lbfgs": LBFGS})
