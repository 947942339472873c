"""The interfaces of a recipe's strategies, except generator and student, which have packages of their own.

Each strategy is a frozen dataclass (``@strategy``) whose typed fields are its YAML schema. Methods that take ``h`` are static: ``h`` holds
the hyper-parameters of k members at once. Floats are tensors ``(k, 1, 1)``; other fields are equal for all members.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoder
from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.students.base import Student
from dfkd_tune.utils.strategy import Numbers, Stacked

Batch = tuple[Tensor, Tensor, Tensor | None]
"""Encoded rows ``(N, E)``, the teacher's outputs ``(N, O)``, and its input gradients ``(N, O, E)``, or None if they are not matched."""

DrawBank = Callable[[Sequence[Tensor], int, int], Batch]
"""``(weights, number of prior rows, number of synthetic rows)`` -> a bank; the synthetic rows are made against the weights."""


class Fit(NamedTuple):
    """A student to fit to the teacher, and its loss.

    Args:
        student: the architecture.
        columns: how the columns of encoded rows are arranged.
        weight: weight of the input gradients in the loss.
        matched: mask ``(E,)`` of 1 and 0: columns whose gradients count; None if all count.
    """

    student: Student
    columns: Columns
    weight: float
    matched: Tensor | None = None


class GapBound(ABC):
    """Defines which gap between teacher and student a generator seeks (section ``bound``).

    A gap ``T(x) - S(x)`` is in standard deviations of the teacher, shape ``(k, G, O)``: k members, G synthetic rows, O outputs.
    """

    @property
    def is_adaptive(self) -> bool:
        """Whether the bound's sizes are in units of the member's current RMSE on prior rows."""
        return False

    @classmethod
    def adapted(cls, h: Stacked, rmse: Tensor | None) -> Stacked:
        """The hyper-parameters converted to standard deviations of the teacher, given each member's RMSE ``(k, 1, 1)``."""
        return h

    @staticmethod
    @abstractmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        """The reward that generators maximize, for each gap ``(k, G, O)``."""

    @staticmethod
    @abstractmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        """The derivative of the reward with respect to the gap, ``(k, G, O)``."""

    @staticmethod
    @abstractmethod
    def active(h: Stacked, gap: Tensor) -> Tensor:
        """Whether the bound limits each gap, ``(k, G, O)`` booleans; recorded in MLflow."""


class InputBound(ABC):
    """Limits how far a synthetic row may move from its prior row ``origin``; both are ``(k, G, D)``, standardized."""

    @staticmethod
    @abstractmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        """The rows ``x``, moved back into the bound."""

    @staticmethod
    @abstractmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        """Whether the bound limits each row, ``(k, G)`` booleans; recorded in MLflow."""


class Mixing(ABC):
    """The schedule of alpha, the weight of synthetic rows against prior rows (section ``alpha``)."""

    @abstractmethod
    def at(self, step: Numbers, steps: int) -> Numbers:
        """Alpha, between 0 and 1, at ``step`` of a run of ``steps`` student steps."""


class Loss:
    """What the student is trained to match."""

    gradients: ClassVar[bool] = False
    """Whether input gradients are matched."""

    @property
    def gradient_weight(self) -> float:
        """Weight of the input gradients relative to the outputs."""
        return 0.0


Schedule = Literal["constant", "cosine"]
"""Schedule of the learning rate over a run."""


class Optimizer(ABC):
    """Coefficients of the student's update in ``recipes.optimizers.update``."""

    lr: float
    weight_decay: float
    schedule: Schedule

    @property
    def coupled_decay(self) -> float:
        """Weight decay that is added to the gradient."""
        return self.weight_decay

    @property
    def decoupled_decay(self) -> float:
        """Weight decay by which the weights shrink beside the gradient step, times the learning rate."""
        return 0.0

    @property
    def average_decay(self) -> float:
        """Decay of the moving average of the weights, which is the student then; 0 for the weights themselves."""
        return 0.0

    @abstractmethod
    def betas(self) -> tuple[float, float]:
        """Decay of the moving averages of the gradient and the squared gradient."""

    @abstractmethod
    def corrections(self, step: Numbers) -> tuple[Numbers, Numbers]:
        """Bias corrections of the two averages at ``step``, counted from 0."""


class Checkpoint(ABC):
    """Which weights of a run the student keeps (section ``checkpoint``)."""

    @abstractmethod
    def replaces(self, reached: float, kept: float) -> bool:
        """Whether weights with the normalized RMSE ``reached`` on the pruning bank replace those before, which have ``kept``."""


class Assistant:
    """Who labels further rows for the student in place of the teacher, which is asked nothing more (section ``assistant``)."""

    @property
    def labeled_rows(self) -> int:
        """Number of new prior rows that it labels."""
        return 0

    @property
    def batch_share(self) -> float:
        """Share of the prior rows of a batch that are replaced by rows that it has labeled."""
        return 0.0

    @property
    def committee(self) -> int:
        """Most students of other trials whose mean labels, the best first; 0 if none is asked."""
        return 0

    @property
    def of_trials(self) -> Assistant:
        """Who labels for a trial, where this is the assistant of its study."""
        return self

    def of_reruns(self, finished: int, answered: int) -> Assistant:
        """Who labels for a re-run, where the students of ``finished`` trials are there and so many rows are answered."""
        return self

    def students(self, student: Student) -> list[Student]:
        """The students that train before ``student`` on its rows, and whose mean labels; none if nobody does."""
        return []


@dataclass(frozen=True)
class InitContext:
    """What an initializer can use.

    Args:
        student: the architecture.
        encoder: encodes standardized rows ``(N, D)`` as ``(N, E)``.
        z, values, gradients: pool rows ``(P, D)``, teacher outputs ``(P, O)``, and its input gradients ``(P, O, D)`` or None.
        outputs: number of teacher outputs O.
        dtype, device: dtype and device of the weights.
        neurons: number of neurons in the teacher's first layer; 0 if its layers cannot be read.
        first_layer: returns these neurons as ``[w, b]`` ``(N, E + 1)`` over encoded rows, and how much each contributes, ``(N,)``.
        gradient_weight: weight of the input gradients in the loss.
        matched: mask ``(E,)`` of columns whose gradients count; None if all count.
        row_budget: number of rows that the whole trial trains on.
    """

    student: Student
    encoder: Encoder
    z: Tensor
    values: Tensor
    gradients: Tensor | None
    outputs: int
    dtype: torch.dtype
    device: torch.device
    neurons: int
    first_layer: Callable[[], tuple[Tensor, Tensor]]
    gradient_weight: float
    matched: Tensor | None
    row_budget: int


class Initializer(ABC):
    """Makes the student's initial weights (section ``initializer``)."""

    def budget_fraction(self, student: Student) -> float:
        """Share of the trial's row budget that the initializer uses."""
        return 0.0

    @abstractmethod
    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """Initial weights of one member, drawn from its random stream ``rng``."""


class Refiner(ABC):
    """Improves the student after the optimizer's last step (section ``refiner``)."""

    refines: ClassVar[bool] = True
    """Whether ``refine`` changes the weights."""

    @property
    def begins(self) -> float:
        """Share of the row budget that the optimizer uses before the refiner begins."""
        return 1.0

    @property
    def bank_rows(self) -> int:
        """Number of rows held at once, for planning memory."""
        return 0

    @property
    def synthetic_share(self) -> float:
        """Share of the bank's rows that the trial's generator makes."""
        return 0.0

    @abstractmethod
    def refine(
        self,
        task: Fit,
        weights: Sequence[Tensor],
        draw: DrawBank,
        budget: int,
        begun: float = 0.0,
    ) -> list[Tensor]:
        """Improved weights of one member.

        Args:
            task: the student and its loss.
            weights: current weights of the member.
            draw: draws a bank of rows.
            budget: number of rows that the whole trial trains on.
            begun: share of the budget that the initializer used.
        """
