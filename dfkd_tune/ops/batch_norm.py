"""The moments that a network's batch normalization stores, and those that given rows have there.

Notation: J units of one batch normalization.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MOMENTS = ("running_mean", "running_var")
TENSORS = ("weight", "bias")
SETTINGS = ("training", "momentum", "eps")
EPS = 1e-5
"""PyTorch's default of ``eps``."""
ARGUMENTS = {
    nn.functional.batch_norm: ("input", *MOMENTS, *TENSORS, *SETTINGS),
    torch.batch_norm: ("input", *TENSORS, *MOMENTS, *SETTINGS),
    torch.ops.aten.batch_norm.default: ("input", *TENSORS, *MOMENTS, *SETTINGS),
}
"""Functions that normalize -> names of their first arguments."""


@dataclass(frozen=True)
class BatchNormStats:
    """Moments of the inputs of a batch normalization.

    Args:
        mean, std: those of the rows, ``(J,)``; a single row has the deviation 0.
        running_mean, running_std: those of the training rows, ``(J,)``.
        scale: what the normalization divides by, ``(J,)``; not 0 for a unit that never changed in training.
    """

    mean: Tensor
    std: Tensor
    running_mean: Tensor
    running_std: Tensor
    scale: Tensor

    def terms(self) -> Tensor:
        """Differences of both moments ``(2 J,)``, in what the normalization divides by."""
        gaps = (self.mean - self.running_mean, self.std - self.running_std)
        return (torch.cat(gaps) / self.scale.repeat(2)).double()

    def mismatch(self) -> Tensor:
        """Root mean squares over the units of the differences of means and of variances, added up: a scalar.

        It is a layer's term in ``R_feature`` of DeepInversion (Yin et al. 2020, equation 4), each unit in what the normalization
        divides it by, and a mean in place of a sum over units.
        """
        means = (self.mean - self.running_mean) / self.scale
        variances = (self.std.square() - self.running_std.square()) / self.scale.square()
        norms = torch.linalg.vector_norm(torch.stack([means, variances]), dim=-1)  # its gradient at 0 is 0
        return norms.sum() / math.sqrt(len(self.scale))


class BatchNormRecorder(TorchFunctionMode):
    """Records the input moments of every batch normalization in evaluation mode, in modules and exported graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[BatchNormStats] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function in ARGUMENTS:
            self._hear({**dict(zip(ARGUMENTS[function], args, strict=False)), **kwargs})
        return function(*args, **kwargs)

    def _hear(self, call: dict[str, Any]) -> None:
        mean, variance = (call.get(name) for name in MOMENTS)
        if not call.get("training") and mean is not None and variance is not None:
            values = call["input"].transpose(0, 1).flatten(1)
            std, reached = torch.std_mean(values, dim=1, correction=int(values.shape[1] > 1))
            scale = (variance + call.get("eps", EPS)).sqrt()
            self.heard.append(BatchNormStats(reached, std, mean, variance.sqrt(), scale))


def mismatch_gradients(function: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    """The gradients of the mismatch of rows, summed over a network's batch normalizations.

    Args:
        function: the network, which takes rows ``(N, D)``.
        x: rows ``(N, D)``.

    Returns:
        Gradients ``(N, D)``; zeros for a network without batch normalization in evaluation mode.
    """
    with torch.inference_mode(False), torch.enable_grad():
        rows = x.clone().requires_grad_()
        every = [each.mismatch() for each in moments_of(function, rows)]
        return torch.autograd.grad(torch.stack(every).sum(), rows)[0] if every else torch.zeros_like(rows).detach()


def moments_of(function: Callable[[Tensor], Any], x: Tensor) -> list[BatchNormStats]:
    """The moments of rows ``(N, D)`` at each batch normalization that depends on them, differentiable in the rows."""
    with torch.enable_grad(), BatchNormRecorder() as recorder:
        function(x if x.requires_grad else x.clone().requires_grad_())
    return [each for each in recorder.heard if each.mean.requires_grad]
