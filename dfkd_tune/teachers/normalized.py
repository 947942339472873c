"""The teacher as a distillation queries it: standardized inputs, normalized outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.ops.batch_norm import mismatch_gradients
from dfkd_tune.teachers.base import Teacher


@dataclass(frozen=True)
class Normalized:
    """``u = (T(x) - shift) / spread`` as a function of standardized rows; made by ``normalized``.

    Args:
        teacher: the teacher in raw units, or with the conversion of units folded into its layers.
        dtype: dtype of rows and outputs.
        inputs: the declared inputs, which convert rows to raw units.
        units: ``shift, spread (O,)``; None if they are folded in.
    """

    teacher: Teacher
    dtype: torch.dtype
    inputs: Inputs
    units: tuple[Tensor, Tensor] | None

    def answer(self, z: Tensor) -> Tensor:
        """Outputs ``(N, O)`` for rows ``(N, D)``, without gradients."""
        with torch.no_grad():
            y = self.teacher(self._raw(z))
        return (y if self.units is None else (y - self.units[0]) / self.units[1]).to(self.dtype)

    def vjp(self, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The outputs ``(N, O)`` and the vector-Jacobian product ``(N, O) -> (N, D)``."""
        y, pull = self.teacher.vjp(self._raw(z))
        absent = z.isnan() if self.inputs.gapped else None
        if self.units is None:
            return y.to(self.dtype), lambda gradient: _at(absent, pull(gradient.to(y.dtype)).to(self.dtype))
        shift, spread = self.units
        scale = self.inputs.known(y.dtype, z.device).scale
        return ((y - shift) / spread).to(self.dtype), lambda gradient: _at(
            absent, (pull((gradient / spread).to(y.dtype)) * scale).to(self.dtype)
        )

    def mismatch_gradients(self, z: Tensor) -> Tensor:
        """The gradients ``(k, n, D)`` of ``ops.batch_norm.mismatch_gradients`` in the standardized rows ``(k, n, D)`` of k members."""
        teacher, inputs = self.teacher, self.inputs
        weights = next(iter(teacher.function.parameters()), z) if isinstance(teacher.function, nn.Module) else z
        x = inputs.raw(inputs.finite(z), teacher.dtype).to(weights.device)
        called = partial(teacher.guard.once, teacher.source, teacher.function)
        # Member by member: inside, a teacher may arrange the rows of a batch as it likes.
        gradient = torch.stack([mismatch_gradients(called, rows) for rows in x]).to(z.device)
        scale = inputs.known(gradient.dtype, z.device).scale
        return (gradient * scale).nan_to_num(0.0, 0.0, 0.0).to(self.dtype)

    def _raw(self, z: Tensor) -> Tensor:
        if self.units is None:
            return z.to(self.teacher.dtype)
        # A diverged student produces NaN rows, which cannot match a declaration and make many teachers fail.
        return self.inputs.raw(self.inputs.finite(z), self.teacher.dtype)


def _at(absent: Tensor | None, gradient: Tensor) -> Tensor:
    """Input gradients ``(N, D)``, 0 for missing values."""
    return gradient if absent is None else gradient.masked_fill(absent, 0.0)


def normalized(teacher: Teacher, inputs: Inputs, shift: Tensor, spread: Tensor) -> Normalized:
    """Convert a teacher to the units of a distillation.

    Args:
        teacher: the teacher in raw units, on the device of the distillation.
        inputs: the declared inputs.
        shift, spread: ``(O,)`` mean and standard deviation of the outputs, in the dtype and on the device of the
            distillation.
    """
    if teacher.fast is None or not _linear(inputs):
        return Normalized(teacher, shift.dtype, inputs, (shift, spread))
    center, scale = (part.to(shift.device, teacher.dtype) for part in (inputs.center, inputs.scale))
    folded = teacher.fast.between(center, scale, shift, spread)
    return Normalized(replace(teacher, fast=folded), shift.dtype, inputs, None)


def _linear(inputs: Inputs) -> bool:
    """Whether raw values are ``center + scale * z`` up to rounding: nominal levels are coded 0, 1, ... whatever their values."""
    return all(feature.levels is None or feature.codes == feature.table for feature in inputs.features)
