"""The teacher between standardized inputs and normalized outputs, as a distillation asks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .inputs import Inputs
from .teachers import Teacher


@dataclass(frozen=True)
class Normalized:
    """``u = (T(center + scale z) - shift) / spread``, by ``normalized``.

    Args:
        teacher: in raw units, or with all of that folded into its layers.
        dtype: of rows and answers.
        units: ``center, scale (D,)`` and ``shift, spread (O,)``; None where they are folded.
    """

    teacher: Teacher
    dtype: torch.dtype
    units: tuple[Tensor, Tensor, Tensor, Tensor] | None

    def answer(self, z: Tensor) -> Tensor:
        """Rows ``(N, D)`` to answers ``(N, O)``, without gradients."""
        with torch.no_grad():
            y = self.teacher(self._raw(z)).to(self.dtype)
        return y if self.units is None else (y - self.units[2]) / self.units[3]

    def record(self, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The same answers, and their pullback ``(N, O) -> (N, D)``."""
        y, pull = self.teacher.record(self._raw(z))
        if self.units is None:
            return y.to(self.dtype), lambda slope: pull(slope.to(y.dtype)).to(self.dtype)
        _, scale, shift, spread = self.units
        return (y.to(self.dtype) - shift) / spread, lambda slope: (pull((slope / spread).to(y.dtype)) * scale).to(
            self.dtype
        )

    def _raw(self, z: Tensor) -> Tensor:
        z = z.to(self.teacher.dtype)
        return z if self.units is None else torch.addcmul(self.units[0], z, self.units[1])


def normalized(teacher: Teacher, inputs: Inputs, shift: Tensor, spread: Tensor) -> Normalized:
    """A teacher in the units of a distillation.

    Args:
        teacher: in raw units, on the device of the distillation.
        inputs: center and scale of every feature.
        shift, spread: ``(O,)`` of every output, in the dtype and on the device of the distillation.
    """
    center, scale = (part.to(shift.device, teacher.dtype) for part in (inputs.center, inputs.scale))
    units = (center, scale, shift, spread)
    if teacher.fast is None:
        return Normalized(teacher, shift.dtype, units)
    return Normalized(replace(teacher, fast=teacher.fast.between(*units)), shift.dtype, None)
