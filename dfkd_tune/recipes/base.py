"""The interfaces of a recipe's strategies, beside generator and student.

Each is a frozen dataclass (``@strategy``) whose typed fields are its YAML schema. Methods that take ``h`` are static: they see the
hyper-parameters of k members with one structure at once, floats as ``(k, 1, 1)``, everything else as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dfkd_tune.inputs.encoding import Encoder
from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.students.base import Student
from dfkd_tune.utils.strategy import Numbers, Stacked

Batch = tuple[Tensor, Tensor, Tensor | None]
"""Encoded rows ``(N, E)``, the teacher's outputs ``(N, O)`` and, where they are matched, its input gradients ``(N, O, E)``."""


class GapBound(ABC):
    """Which gap ``T(x) - S(x)`` between teacher and student is worth seeking, in standard deviations of the teacher, ``(k, G, O)``."""

    @property
    def is_adaptive(self) -> bool:
        """Whether its fields are in units of the member's own RMSE on prior rows, as it is now."""
        return False

    @classmethod
    def adapted(cls, h: Stacked, rmse: Tensor | None) -> Stacked:
        """The hyper-parameters in units of the teacher's standard deviation, given each member's RMSE ``(k, 1, 1)``."""
        return h

    @staticmethod
    @abstractmethod
    def reward(h: Stacked, gap: Tensor) -> Tensor:
        """What generators maximize, in the shape of the gap."""

    @staticmethod
    @abstractmethod
    def gradient(h: Stacked, gap: Tensor) -> Tensor:
        """The derivative of the reward in the gap."""

    @staticmethod
    @abstractmethod
    def active(h: Stacked, gap: Tensor) -> Tensor:
        """Where the bound holds the gap, as booleans in its shape."""


class InputBound(ABC):
    """How far a synthetic input may travel from the prior row at which it started, both ``(k, G, D)``, standardized."""

    @staticmethod
    @abstractmethod
    def contain(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        """The rows brought back within the bound."""

    @staticmethod
    @abstractmethod
    def active(h: Stacked, x: Tensor, origin: Tensor, geometry: Geometry) -> Tensor:
        """Which rows the bound holds, ``(k, G)`` booleans."""


class Mixing(ABC):
    """The schedule of alpha, the weight of synthetic rows against prior rows (section ``alpha``)."""

    @abstractmethod
    def at(self, step: Numbers, steps: int) -> Numbers:
        """Alpha at steps of a run."""


class Loss:
    """What the student is trained to match."""

    gradients: ClassVar[bool] = False
    """Whether input gradients are matched."""

    @property
    def gradient_weight(self) -> float:
        """Of input gradients against outputs."""
        return 0.0


Schedule = Literal["constant", "cosine"]
"""Of the step size over a run."""


class Optimizer(ABC):
    """An update of the student that fits ``recipes.optimizers.update``."""

    lr: float
    weight_decay: float
    schedule: Schedule

    @abstractmethod
    def betas(self) -> tuple[float, float]:
        """Decays of the averages of gradient and squared gradient."""

    @abstractmethod
    def corrections(self, step: Numbers) -> tuple[Numbers, Numbers]:
        """Bias corrections of both averages."""


@dataclass(frozen=True)
class InitContext:
    """What an initializer may know of the distillation that it begins.

    Args:
        student: the architecture.
        encoder: of standardized rows into what a student takes.
        z, values, gradients: the pool ``(P, D)``, the teacher's outputs ``(P, O)`` and its input gradients ``(P, O, D)`` or None.
        outputs: of the teacher.
        dtype, device: of the weights.
        neurons: in the first layer of the teacher; 0 where its layers cannot be read.
        first_layer: makes them, ``[w, b]`` ``(N, E + 1)`` over encoded rows, with what each contributes, ``(N,)``.
        gradient_weight: of the input gradients in the loss.
        matched: which columns ``(E,)`` have gradients that count; None where all have.
        row_budget: rows that the whole trial trains on.
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
    """The student's first weights (section ``start``)."""

    def budget_fraction(self, student: Student) -> float:
        """Of the trial's budget, what the initializer takes."""
        return 0.0

    @abstractmethod
    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """One member's weights."""


class Refiner(ABC):
    """What follows the optimizer's steps (section ``finish``)."""

    refines: ClassVar[bool] = True
    """Whether anything follows."""

    @property
    def begins(self) -> float:
        """Share of the budget that the student's optimizer takes before."""
        return 1.0

    @property
    def bank_rows(self) -> int:
        """Rows that it holds at once, for planning memory."""
        return 0

    @property
    def synthetic_share(self) -> float:
        """Of its rows, what the trial's generator draws."""
        return 0.0

    @abstractmethod
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
        """Better weights of one member.

        Args:
            student: its architecture.
            weights: as they are.
            draw: ``(weights, prior rows, synthetic rows)`` to a bank.
            weight: of the input gradients in the loss.
            budget: rows of the whole trial.
            begun: share of them that the initializer took.
            matched: which columns ``(E,)`` have gradients that count, as 1 and 0; None where all have.
        """
