"""Rows that reproduce what a teacher's batch normalization stores: DeepInversion (Yin et al. 2020, arXiv 1912.08795)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dfkd_tune.generators.ascending.ascent import Ascending, ascend
from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.utils.strategy import Stacked, strategy


@strategy
class Inversion(Ascending):
    """Ascend from prior rows on the mean of ``reward(T - S) - gamma S^2`` over a step's rows, less ``matching R``.

    ``R`` is the mismatch of these rows with the stored moments, summed over the teacher's batch normalizations
    (``ops.batch_norm.BatchNormStats.mismatch``; ``R_feature``, equation 4 of the paper). The reward of the gap is in the place of the
    divergence of student and teacher, by which the adaptive form lets them compete (equation 9). What differs here:

    - There is no target that an input is to be classified as: an output of a regression needs none.
    - Rows ascend for a few steps from prior rows, as in ``direct``, in place of thousands of steps from noise.
    - Total variation is for images and is left out; ``decay`` is the penalty on the square of the inputs.

    A step's rows are many in one member's mismatch. So the gradients here are those of a row's own objective, which is the number
    of rows times the mean.

    Args:
        matching: weight of the mismatch; 0 is ``direct``.
        steps, step_size, decay, gamma, ascent: as in ``direct``.
    """

    matching: Annotated[float, Field(ge=0, le=1e6)] = 1.0

    needs_gradients: ClassVar[bool] = True
    needs_batch_norm: ClassVar[bool] = True

    @staticmethod
    def sample(h: Stacked, state: dict[str, Tensor], context: GeneratorContext) -> Tensor:
        weight = h.matching * context.origin.shape[1]
        return ascend(
            h, context, lambda x: context.objective_gradient(x, h.gamma) - weight * context.mismatch_gradient(x)
        )
