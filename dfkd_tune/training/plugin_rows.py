"""Rows of generators from other packages: moved into what is declared of the inputs, or refused.

The generators of this package keep to the declaration by themselves. A plug-in may forget it after any of its moves, and the teacher
must never be asked about a row that is not declared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dfkd_tune.errors import PluginError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.utils.plugins import package_of


def is_plugin(kind: type) -> bool:
    """Whether a generator comes from another package."""
    return package_of(kind) is not None


def declared(inputs: Inputs, kind: type, drawn: Tensor, shape: Sequence[int], like: Tensor) -> Tensor:
    """Rows that a plug-in drew, on the declared levels, whole numbers, ranges and shares.

    Args:
        inputs: the declared inputs.
        kind: class of the generator.
        drawn: what it returned.
        shape: shape of the rows that it was to draw, the features last.
        like: gives dtype and device of the result.

    Raises:
        PluginError: it drew no rows of that shape; the message names its package.
    """
    if not isinstance(drawn, Tensor) or tuple(drawn.shape) != tuple(shape) or not drawn.is_floating_point():
        found = f"{tuple(drawn.shape)} of {drawn.dtype}" if isinstance(drawn, Tensor) else type(drawn).__name__
        rule = f"generator {kind.__name__} must draw floating-point rows of shape {tuple(shape)}, drew {found}"
        raise PluginError(f"plug-in {package_of(kind)}", rule)
    return inputs.project(drawn.detach().to(like))


def not_finite(inputs: Inputs, kind: type, drawn: Tensor) -> str | None:
    """Why a student cannot be trained on rows ``(..., D)`` that a plug-in drew; None if it can."""
    bad = int((~torch.isfinite(inputs.present(drawn))).any(-1).sum())
    if not bad:
        return None
    return f"generator {kind.__name__} of plug-in {package_of(kind)} drew {bad} rows that hold NaN or infinity"
