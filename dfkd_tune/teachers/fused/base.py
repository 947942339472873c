"""``Layer``: a frozen part of a network, with its vector-Jacobian product by hand.

Rows are the last dimension of every value: ``(..., N)`` here is ``(N, ...)`` in PyTorch. So a channel, a step of a window and a
gate are contiguous blocks, and a product is ``(out, in) @ (in, N)``. No gradient in a weight is ever needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

Pullback = Callable[[Tensor], tuple[Tensor, ...]]
"""Maps the gradient in a layer's value to the gradients in its inputs; it must not overwrite its argument."""


class Layer(ABC):
    """One layer; implementations are frozen dataclasses whose fields are their weights and sizes."""

    overwritable: ClassVar[bool] = False
    """Whether the next layer may overwrite its value: the value is new memory, and its pullback does not read it."""

    @abstractmethod
    def value(self, *inputs: Tensor) -> Tensor:
        """The value ``(..., N)`` of inputs ``(..., N)``."""

    @abstractmethod
    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        """The value ``(..., N)``, and its pullback."""

    def scaled(self, scale: Tensor, shift: Tensor) -> Layer | None:
        """A layer with the value ``shift + scale * value``, at no cost; None if there is none.

        Args:
            scale, shift: one number a channel, ``(C, 1, ...)`` with as many dimensions as the value.
        """
        return None

    def overwriting(self) -> Layer | None:
        """The same layer, with its value in the memory of its input; None if it cannot."""
        return None

    def without_unused(self, users: Sequence[Layer]) -> tuple[Layer, list[Layer | None]] | None:
        """This layer without the steps that none of its users takes, and its users then; None if it makes no others.

        A user that is None takes the value as it is.
        """
        return None

    def on(self, device: torch.device) -> Self:
        """The same layer on a device."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        moved = {name: value.to(device) for name, value in held.items() if isinstance(value, Tensor)}
        return replace(self, **moved)  # type: ignore[type-var]
