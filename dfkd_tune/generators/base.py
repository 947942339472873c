"""The interface of a generator: where synthetic inputs come from.

A generator is a frozen dataclass of its hyper-parameters (``@strategy``); its typed fields are its YAML schema and its search space.
There are two kinds. A ``StepGenerator`` makes rows before every student step and may query teacher and students. A ``BlockGenerator``
uses neither: its rows are drawn and labeled in advance, for many steps at once.
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
    """The properties that every generator declares."""

    uses_gap: ClassVar[bool] = False
    """Whether it uses the gap between teacher and student. If so, a gap bound applies."""
    starts_from_prior: ClassVar[bool] = False
    """Whether it moves prior rows. If so, an input bound applies."""
    needs_gradients: ClassVar[bool] = False
    """Whether it needs the teacher's input gradients. If so, it cannot be used with a black-box teacher."""
    needs_batch_norm: ClassVar[bool] = False
    """Whether it needs the moments that a teacher's batch normalization stores. If so, it cannot be used with other teachers."""
    replays: ClassVar[bool] = False
    """Whether a step reads nothing that changes but tensors: no clock, no random stream. If so, a GPU replays it from a recording."""

    @property
    def network_units(self) -> int:
        """Hidden units of the generator's own network, for planning memory; 0 without a network."""
        return 0


class StepGenerator(Generator, ABC):
    """A generator that makes the synthetic rows of one student step and may query teacher and students."""

    def init_state(self, features: int, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Initial state of one member: tensors that change during training. The population stacks them along a first dimension.

        Args:
            features: number of input features D.
            outputs: number of teacher outputs O.
            rng: the member's random stream.
            dtype: of the tensors.
        """
        return {}

    @staticmethod
    @abstractmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        """Standardized synthetic rows ``(k, G, D)``: G rows for each of k members.

        Args:
            h: the members' hyper-parameters. Floats are tensors ``(k, 1, 1)``; other fields are equal for all members.
            state: the tensors of ``init_state``, stacked ``(k, ...)``; ``sample`` may change them in place.
            context: prior rows to start from, teacher, students, and the members' bounds.
        """

    @staticmethod
    def observe(h: Stacked, state: dict[str, Tensor], context: GeneratorContext, rows: Tensor, values: Tensor) -> None:
        """Learn from what the students learn from in this step, which costs no query. By default nothing is learned.

        Args:
            h, state, context: as in ``sample``; ``observe`` may change the state.
            rows: standardized rows ``(k, n, D)`` of the batch, synthetic and prior ones; they must not be changed.
            values: teacher outputs ``(k, n, O)``, normalized.
        """


class BlockGenerator(Generator, ABC):
    """A generator that uses neither teacher nor student."""

    @abstractmethod
    def engine(self, features: int, seed: int) -> Any:
        """One member's source of random or quasi-random numbers, seeded with ``seed``; only ``block`` reads it."""

    @abstractmethod
    def block(self, inputs: Inputs, steps: int, rows: int, engine: Any) -> Tensor:
        """Standardized rows ``(steps, rows, D)`` in float64.

        Args:
            inputs: the input prior and the declared ranges and levels.
            steps: number of student steps in the block.
            rows: number of rows for each step.
            engine: the object that ``engine`` returned.
        """
