"""Losses: whether the student matches only the teacher's outputs, or its input gradients too."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dfkd_tune.recipes.base import Loss
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy


@strategy
class MSE(Loss):
    """Match only the teacher's outputs, as both papers do."""


@strategy
class Sobolev(Loss):
    """Match the teacher's input gradients too: add ``weight * sum_d (dT/dx_d - dS/dx_d)^2`` (Czarnecki et al. 2017).

    Gradients are those of normalized outputs with respect to standardized inputs. At prior rows the pool already holds them.

    Args:
        weight: weight of the gradients relative to the outputs; 0 equals ``mse`` but costs more.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0

    gradients: ClassVar[bool] = True

    @property
    def gradient_weight(self) -> float:
        """Same as ``weight``."""
        return self.weight


LOSSES: Registry[type[Loss]] = Registry("losses", Loss, {"mse": MSE, "sobolev": Sobolev})
