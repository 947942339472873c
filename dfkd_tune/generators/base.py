"""The interface of a generator: where synthetic inputs come from.

A generator is a frozen dataclass of its hyper-parameters (``@strategy``); its typed fields are its YAML schema and its search space.
There are two kinds. A ``StepGenerator`` looks at student and teacher before every student step. A ``BlockGenerator`` looks at neither:
its rows are drawn and labeled ahead, a block of steps at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.strategy import Stacked


class Generator:
    """What every generator says of itself."""

    uses_gap: ClassVar[bool] = False
    """Whether it looks at the gap between teacher and student, so that a gap bound applies."""
    starts_from_prior: ClassVar[bool] = False
    """Whether it moves prior rows, so that an input bound applies."""
    needs_gradients: ClassVar[bool] = False
    """Whether it needs the teacher's input gradients."""

    @property
    def network_units(self) -> int:
        """Hidden units of a network of its own; 0 without one. Memory is planned by it."""
        return 0


class StepGenerator(Generator, ABC):
    """A generator that makes the synthetic rows of one student step from what teacher and students answer."""

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """One member's tensors that evolve; the population stacks them along a first dimension."""
        return {}

    @staticmethod
    @abstractmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        """Synthetic rows ``(k, G, D)``, standardized, of k members.

        Args:
            h: the hyper-parameters of the members: floats as ``(k, 1, 1)``, everything else as it is.
            state: of ``init_state``, stacked ``(k, ...)``; may be changed in place.
            context: prior rows to start from, teacher, students and bounds.
        """


class BlockGenerator(Generator, ABC):
    """A generator that draws without looking at teacher or student."""

    @abstractmethod
    def engine(self, features: int, seed: int) -> Any:
        """A source of random or quasi-random numbers of one member; ``block`` is the only one that reads it."""

    @abstractmethod
    def block(self, inputs: Inputs, steps: int, rows: int, engine: Any) -> Tensor:
        """Rows ``(steps, rows, D)``, standardized, float64.

        Args:
            inputs: the prior, with what is declared of the inputs.
            steps: student steps of the block.
            rows: rows a step.
            engine: of ``engine``.
        """
