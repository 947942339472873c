"""A student whose teacher takes rows: it takes them as a tensor, or as a table with the names and words that were declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import FeaturesError

if TYPE_CHECKING:
    import pandas as pd


class FrameStudent(nn.Module):
    """A flat network that also takes tables.

    Args:
        network: from raw rows ``(N, D)`` to raw outputs, ``(N, O)`` or as its teacher returns them.
        dtype: dtype of the network's rows.
        names: features, in order.
        levels: feature -> declared levels: numbers, words, None for a missing value.
        gapped: features whose numbers may be missing.
        named: whether the features have names of their own; else columns may be matched by position.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        names: Sequence[str],
        levels: Mapping[str, Sequence[Any]],
        gapped: Sequence[str],
        named: bool,
    ) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype
        self.columns = (names, levels, gapped, named)
        self.training = False

    def forward(self, rows: Tensor | pd.DataFrame | Any) -> Tensor:
        """What the network returns, in the teacher's units.

        Args:
            rows: raw rows ``(N, D)`` as a tensor or an array, with the place of a word among its feature's levels in place of the word; or a data frame, or what pandas makes one of, with columns by name and words as they are.

        Raises:
            FeaturesError: a column of a table is missing, or holds what is not declared.
        """
        if isinstance(rows, np.ndarray):
            rows = torch.from_numpy(rows)
        return self.network(rows.to(self.dtype) if isinstance(rows, Tensor) else self.encoded(rows))

    def encoded(self, table: Any) -> Tensor:
        """A table as raw rows ``(N, D)``, with codes for words and NaN for missing values.

        Raises:
            FeaturesError: a column is missing, or holds what is not declared.
        """
        from dfkd_tune.layouts import frame_rows  # imports pandas, which a tensor needs not

        try:
            return frame_rows.FrameReader(*self.columns).tensor(frame_rows.as_frame(table), self.dtype)
        except frame_rows.FrameError as error:
            raise FeaturesError(error.place, error.rule, remedy=error.remedy) from None

    def train(self, mode: bool = True) -> FrameStudent:
        """Return the module, which stays in evaluation mode."""
        return self
