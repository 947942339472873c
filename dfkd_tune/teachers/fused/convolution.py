"""A convolution over the steps of a window.

Every tap is one batched product over all steps that it reaches, added in place. So nothing is padded, and no window is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer, Pullback
from dfkd_tune.teachers.fused.linear import every
from dfkd_tune.teachers.fused.views import Slice


@dataclass(frozen=True)
class Convolution(Layer):
    """``torch.nn.Conv1d``: inputs ``(C, T, N)``, values ``(O, T', N)``.

    Args:
        taps: ``(K, O, C)`` weights of each tap; ``(K, C, 1)`` if every channel has its own taps.
        bias: ``(O, 1)``.
        stride, padding, dilation: as in ``torch.nn.Conv1d``; the padding is 0.
        depthwise: whether every channel has its own taps.
        steps: number of steps T' that are computed; None for all.
    """

    taps: Tensor
    bias: Tensor
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    depthwise: bool = False
    steps: int | None = None

    overwritable: ClassVar[bool] = True

    def value(self, *inputs: Tensor) -> Tensor:
        x = inputs[0].transpose(0, 1)
        made = self.bias.expand(self._steps(len(x)), -1, x.shape[-1]).contiguous()
        for tap, here, there in self._reach(len(x), len(made)):
            self._add(made[here], tap, x[there])
        return made.transpose(0, 1)

    def vjp(self, *inputs: Tensor) -> tuple[Tensor, Pullback]:
        channels, steps, _ = inputs[0].shape
        return self.value(*inputs), lambda gradient: self._pull(gradient.transpose(0, 1), channels, steps)

    def _pull(self, gradient: Tensor, channels: int, steps: int) -> tuple[Tensor, ...]:
        found = gradient.new_zeros(steps, channels, gradient.shape[-1])
        for tap, here, there in self._reach(steps, len(gradient)):
            self._add(found[there], tap if self.depthwise else tap.mT, gradient[here])
        return (found.transpose(0, 1),)

    def _add(self, to: Tensor, tap: Tensor, x: Tensor) -> None:
        if self.depthwise:
            to.addcmul_(tap, x)
        else:
            to.baddbmm_(every(tap, x), x)

    def _steps(self, steps: int) -> int:
        if self.steps is not None:
            return self.steps
        return (steps + 2 * self.padding - self.dilation * (len(self.taps) - 1) - 1) // self.stride + 1

    def _reach(self, steps: int, made: int) -> Iterator[tuple[Tensor, slice, slice]]:
        """Each tap, the steps of the value that it reaches, and the steps of the input that it takes."""
        for i, tap in enumerate(self.taps):
            start = i * self.dilation - self.padding
            first = max(0, -(start // self.stride))
            last = min(made, (steps - 1 - start) // self.stride + 1)
            if first < last:
                there = slice(start + first * self.stride, start + (last - 1) * self.stride + 1, self.stride)
                yield tap, slice(first, last), there

    def scaled(self, scale: Tensor, shift: Tensor) -> Layer | None:
        scale, shift = scale.flatten(1), shift.flatten(1)
        return replace(self, taps=self.taps * scale, bias=self.bias * scale + shift)

    def without_unused(self, users: Sequence[Layer]) -> tuple[Layer, list[Layer | None]] | None:
        """Without the last steps, which a causal layer makes by its padding and cuts off."""
        stops = {each.stop if isinstance(each, Slice) and each == Slice(1, 0, each.stop) else None for each in users}
        stop = stops.pop() if len(stops) == 1 else None
        return None if stop is None else (replace(self, steps=stop), [None for _ in users])
