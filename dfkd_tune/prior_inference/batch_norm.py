"""What a teacher's batch normalization recollects of the inputs that it was trained on.

In training a batch normalization keeps the mean and variance of what reaches it, and a trained teacher carries them along: a few numbers a
unit, averaged over many rows. DeepInversion (Yin et al. 2020, arXiv 1912.08795) makes inputs that reproduce them; here they tell
how the features of a teacher go together and how each is skewed, as far as nobody declared it. That is the distribution of the family
``sinh_arcsinh`` under which the same units have these moments:

    min mean_j [((E p_j - mu_j) / sigma_j)^2 + (std p_j / sigma_j - 1)^2] + RIDGE mean_d [skew_d^2 + tails_d^2 + sum_e C_de^2 / 2]

over what reaches unit ``j`` of any layer, ``p_j``, its running mean ``mu_j`` and standard deviation ``sigma_j``, with ``C`` the correlations
of normal scores off the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dfkd_tune.inputs.copula import WIDEST
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.inputs.sinh_arcsinh import SinhArcsinh
from dfkd_tune.ops.lbfgs import descend
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.utils import hardware

DESCRIPTION = (
    "how each feature is distributed and how they go together was found from the teacher's batch normalization"
)
SOBOL_POINTS = 2_048
"""Points of a Sobol sequence over which moments are taken."""
EVALUATIONS = 80
"""Of the teacher and its gradient on these rows, by L-BFGS."""
RIDGE = 1e-4
MISMATCH = 0.1
"""Root mean square of the terms above from which such moments are no inputs': a network that was never trained has them."""
LARGEST = 2_000_000
"""Parameters of a teacher beyond which it takes too long."""
SCORES = 4.5
"""How far out a normal score goes, in standard deviations, while the family is fitted."""
MOMENTS = ("running_mean", "running_var")
TENSORS = ("weight", "bias")
ARGUMENTS = {
    nn.functional.batch_norm: ("input", *MOMENTS, *TENSORS, "training"),
    torch.batch_norm: ("input", *TENSORS, *MOMENTS, "training"),
    torch.ops.aten.batch_norm.default: ("input", *TENSORS, *MOMENTS, "training"),
}
"""The calls that normalize, and the names of their first arguments."""


@dataclass(frozen=True)
class BatchNormStats:
    """What reached a batch normalization, and what did in training, each ``(units,)``."""

    mean: Tensor
    std: Tensor
    running_mean: Tensor
    running_std: Tensor

    def terms(self) -> Tensor:
        """How far the first is from the second, in standard deviations of the second: ``(2 units,)``."""
        gaps = (self.mean - self.running_mean, self.std - self.running_std)
        return (torch.cat(gaps) / self.running_std.repeat(2)).double()


class BatchNormRecorder(TorchFunctionMode):
    """Hears every batch normalization that works by its running moments, in modules and exported graphs alike."""

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
            reached = torch.std_mean(call["input"].transpose(0, 1).flatten(1), dim=1)
            self.heard.append(BatchNormStats(reached[1], reached[0], mean, variance.sqrt()))


# Sums in another order end in another distribution, and banks would differ between processes.
@hardware.one_thread()
def infer(teacher: Teacher, inputs: Inputs) -> Inputs | None:
    """Inputs of the shape that a teacher's batch normalization tells of; None where it has none.

    Args:
        teacher: in raw units.
        inputs: their means and standard deviations, as far as these are declared.
    """
    module, width = teacher.function, len(inputs)
    small = width <= WIDEST and (teacher.parameters or 0) <= LARGEST
    if not isinstance(module, nn.Module) or not small or width < 2:
        return None
    points = torch.quasirandom.SobolEngine(width, scramble=True, seed=0).draw(SOBOL_POINTS, dtype=torch.float64)
    scores = torch.special.ndtri(points).clamp(-SCORES, SCORES)
    try:  # two rows tell whether it normalizes at all
        heard = _listen(teacher, inputs, scores[:2]) and _listen(teacher, inputs, scores.clone().requires_grad_())
    except Exception:
        return None  # whatever is wrong with it, the probe says so
    if not heard or not all(each.mean.requires_grad for each in heard):
        return None
    shape = _fit(teacher, inputs, scores)
    return None if shape is None else Inputs(inputs.features, inferred=InferredPrior(DESCRIPTION, inputs, shape))


def _listen(teacher: Teacher, inputs: Inputs, z: Tensor) -> list[BatchNormStats]:
    """What reaches each batch normalization where standardized rows ``(N, D)`` are answered."""
    with BatchNormRecorder() as listener, torch.enable_grad():
        teacher.guard.once(teacher.source, teacher.function, inputs.raw(z, teacher.dtype))
    return listener.heard


def _fit(teacher: Teacher, inputs: Inputs, scores: Tensor) -> SinhArcsinh | None:
    width = len(inputs)
    mixing = torch.eye(width, dtype=torch.float64).requires_grad_()
    skew, tails = (torch.zeros(width, dtype=torch.float64).requires_grad_() for _ in range(2))

    def family() -> SinhArcsinh:
        return SinhArcsinh(mixing / mixing.norm(dim=1, keepdim=True), skew, tails)

    def mismatch() -> Tensor:
        heard = _listen(teacher, inputs, family().push(scores))
        return torch.cat([each.terms() for each in heard]).square().mean()

    def loss() -> Tensor:
        mixed = family().mixing
        together = ((mixed @ mixed.T).square().sum() - width) / 2
        return mismatch() + RIDGE * (skew.square().sum() + tails.square().sum() + together) / width

    descend([mixing, skew, tails], loss, EVALUATIONS)
    with torch.no_grad():
        found, left = family(), mismatch().sqrt()
    believed = bool(left < MISMATCH)  # what is no number is not
    return SinhArcsinh(*(part.detach() for part in (found.mixing, found.skew, found.tails))) if believed else None
