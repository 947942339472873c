"""How a student is finished: not at all, or by a second-order method on a frozen bank of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dfkd_tune.ops.lbfgs import Search
from dfkd_tune.recipes.base import Batch, Refiner
from dfkd_tune.students.base import Student
from dfkd_tune.students.sobolev import loss_and_gradients
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class NoRefiner(Refiner):
    """The weights that the student's optimizer came to, as in both papers."""

    refines: ClassVar[bool] = False

    def refine(
        self,
        student: Student,
        weights: Sequence[Tensor],
        draw: Callable[[Sequence[Tensor], int, int], Batch],
        weight: float,
        budget: int,
        begun: float = 0.0,
        matched: Tensor | None = None,
    ) -> list[Tensor]:
        """The weights as they are."""
        return list(weights)


@strategy
class LBFGS(Refiner):
    """L-BFGS with strong Wolfe line search (Nocedal & Wright 2006, ch. 7) on rows drawn anew each round.

    Args:
        after: share of the budget that the student's optimizer takes before. The rest, in rows whose gradient is taken
            (steps times batch), says how many iterations there are, so that all finishes cost the same.
        rows: of the bank of a round.
        synthetic: share of them that the trial's generator draws against the student as it is then.
        rounds: banks.
        history: pairs that the curvature is estimated from.
    """

    after: Annotated[float, Field(gt=0, le=1)] = 0.02
    rows: Annotated[int, Field(ge=10, le=10**7)] = 4_000
    synthetic: Annotated[float, Field(ge=0, le=1)] = 0.25
    rounds: Annotated[int, Field(ge=1, le=1_000)] = 1
    history: Annotated[int, Field(ge=1, le=1_000)] = 50

    @property
    def begins(self) -> float:
        """As ``after`` says."""
        return self.after

    @property
    def bank_rows(self) -> int:
        """Rows of a round."""
        return self.rows

    @property
    def synthetic_share(self) -> float:
        """As its field says."""
        return self.synthetic

    def iterations(self, budget: int, begun: float) -> int:
        """Iterations over all rounds, of a budget of rows of which the start took the share ``begun``."""
        return max(self.rounds, round(max(0.0, 1 - self.after - begun) * budget / self.rows))

    def refine(
        self,
        student: Student,
        weights: Sequence[Tensor],
        draw: Callable[[Sequence[Tensor], int, int], Batch],
        weight: float,
        budget: int,
        begun: float = 0.0,
        matched: Tensor | None = None,
    ) -> list[Tensor]:
        """Better weights of one member, by ``rounds`` of L-BFGS on banks drawn anew."""
        each = self.iterations(budget, begun) // self.rounds
        values = [w.detach().clone() for w in weights]
        hard = round(self.rows * self.synthetic)
        for _ in range(self.rounds):
            bank = draw(values, self.rows - hard, hard)
            values = minimize(student, values, bank, weight, each, self.history, matched)
        return values


def minimize(
    student: Student,
    weights: Sequence[Tensor],
    bank: Batch,
    weight: float,
    iterations: int,
    history: int,
    matched: Tensor | None = None,
) -> list[Tensor]:
    """Weights of one member that fit a bank at least as well.

    Args:
        student: the architecture.
        weights: of the member.
        bank: rows, answers, and input gradients or None.
        weight: of the input gradients in the loss.
        iterations: of L-BFGS at most.
        history: pairs that the curvature is estimated from.
        matched: which columns ``(E,)`` have gradients that count, as 1 and 0; None where all have.
    """
    leaves = [w.detach().clone().unsqueeze(0).requires_grad_() for w in weights]
    z, values = bank[0].unsqueeze(0), bank[1].unsqueeze(0)
    gradients = None if bank[2] is None else bank[2].unsqueeze(0)
    share, weighed = z.new_full((1, 1, 1), 1 / len(z[0])), z.new_full((1, 1, 1), weight)
    if matched is not None:
        weighed = weighed * matched.repeat(values.shape[-1])
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
        found = loss_and_gradients(student, [leaf.detach() for leaf in leaves], z, values, gradients, share, weighed)
        for leaf, gradient in zip(leaves, found.gradients, strict=True):
            leaf.grad = gradient.contiguous()  # torch flattens it by a view
        return found.loss().sum()

    before = closure()
    optimizer.step(closure)
    after = closure()
    if not after <= before:  # a line search that lost its way keeps what there was
        return list(weights)
    return [leaf.detach().squeeze(0) for leaf in leaves]


REFINERS: Registry[type[Refiner]] = Registry("refiners", Refiner, {"none": NoRefiner, "lbfgs": LBFGS})
