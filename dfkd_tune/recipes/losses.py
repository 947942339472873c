"""Losses: what the student is trained to match."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dfkd_tune.recipes.base import Loss
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class MSE(Loss):
    """Match the teacher's answers alone, as both papers do."""


@strategy
class Sobolev(Loss):
    """Match its input gradients too: add ``weight * sum_d (dT/dx_d - dS/dx_d)^2`` (Czarnecki et al. 2017).

    Gradients are of normalized outputs in standardized inputs. Those of prior rows are known from the pool.

    Args:
        weight: of the gradients against the answers; 0 is ``mse`` at a higher price.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0

    gradients: ClassVar[bool] = True

    @property
    def gradient_weight(self) -> float:
        """As its field says."""
        return self.weight


LOSSES: Registry[type[Loss]] = Registry("losses", Loss, {"mse": MSE, "sobolev": Sobolev})
