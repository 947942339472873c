"""Mixing schedules: the weight alpha of synthetic rows relative to prior rows, over a run.

``loss = mean[ alpha (T - S)^2 (x_g) + (1 - alpha) (T - S)^2 (x_p) ]`` (Zhou & Chiam 2023, eq. 5). Alpha changes once per
epoch, which is ``EPOCH`` student steps in the published experiments.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dfkd_tune.recipes.base import Mixing
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import Numbers, strategy

EPOCH = 10
"""Student steps in an epoch (``n_s`` in the papers)."""


@strategy
class Constant(Mixing):
    """A constant alpha; 0 trains only on prior rows and 1 only on synthetic rows, each with the whole batch."""

    value: Annotated[float, Field(ge=0, le=1)] = 0.5

    def at(self, step: Numbers, steps: int) -> Numbers:
        return self.value


@strategy
class Decreasing(Mixing):
    """``1 - (e + 1) / E`` in epoch e of E: from synthetic rows to prior rows, the better schedule in the paper."""

    def at(self, step: Numbers, steps: int) -> Numbers:
        return 1.0 - _progress(step, steps)


@strategy
class Increasing(Mixing):
    """``(e + 1) / E`` in epoch e of E: from prior rows to synthetic rows."""

    def at(self, step: Numbers, steps: int) -> Numbers:
        return _progress(step, steps)


def _progress(step: Numbers, steps: int) -> Numbers:
    epochs = -(-steps // EPOCH)
    return (step // EPOCH + 1) / epochs


class Mix:
    """Which rows of a batch are synthetic, and the weight of each half.

    A batch of ``2m`` rows has two halves. Both come from the prior if alpha is the constant 0, and both from the generator if it
    is the constant 1. Otherwise one half comes from each. The batch size is always the same, as in the published code.
    """

    PRIOR: ClassVar[str] = "prior"
    BOTH: ClassVar[str] = "both"
    SYNTHETIC: ClassVar[str] = "synthetic"

    @classmethod
    def of(cls, alpha: object) -> str:
        if isinstance(alpha, Constant) and alpha.value in (0.0, 1.0):
            return cls.SYNTHETIC if alpha.value else cls.PRIOR
        return cls.BOTH


ALPHAS: Registry[type[Mixing]] = Registry(
    "mixings", Mixing, {"constant": Constant, "decreasing": Decreasing, "increasing": Increasing}
)
