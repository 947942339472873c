"""Mixing schedules: how much weight the synthetic rows get against prior rows, over the run.

``loss = mean[ alpha (T - S)^2 (x_g) + (1 - alpha) (T - S)^2 (x_p) ]`` (Zhou & Chiam 2023, eq. 5). Alpha moves once an
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
    """The same alpha all along; 0 trains on prior rows alone, 1 on synthetic rows alone, each with the whole batch."""

    value: Annotated[float, Field(ge=0, le=1)] = 0.5

    def at(self, step: Numbers, steps: int) -> Numbers:
        return self.value


@strategy
class Decreasing(Mixing):
    """``1 - (e + 1) / E``: from hard synthetic rows to prior rows, the better schedule of the paper."""

    def at(self, step: Numbers, steps: int) -> Numbers:
        return 1.0 - _progress(step, steps)


@strategy
class Increasing(Mixing):
    """``(e + 1) / E``: from prior rows to hard synthetic rows."""

    def at(self, step: Numbers, steps: int) -> Numbers:
        return _progress(step, steps)


def _progress(step: Numbers, steps: int) -> Numbers:
    epochs = -(-steps // EPOCH)
    return (step // EPOCH + 1) / epochs


class Mix:
    """Which rows of a batch are synthetic, and what each half weighs.

    A batch of ``2m`` rows is two halves. Both come from the prior when alpha is the constant 0, both from the
    generator when it is 1, one from each otherwise; the batch therefore keeps its size, as in the published code.
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
