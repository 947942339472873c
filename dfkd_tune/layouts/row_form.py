"""``RowForm``: how a teacher over rows takes and returns them, for a student in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.layouts.signature import dtype_name


@dataclass(frozen=True)
class RowForm:
    """The dtypes and the shape of a teacher's own rows and outputs.

    Args:
        takes: dtype of its rows ``(N, D)``; None for that of the student, which is no narrower.
        returns: dtype of its outputs; None for that of the student.
        vector: whether its outputs are ``(N,)`` rather than ``(N, O)``.
    """

    takes: torch.dtype | None = None
    returns: torch.dtype | None = None
    vector: bool = False

    def tree(self) -> dict[str, Any]:
        """The form as plain values."""
        takes, returns = (None if each is None else dtype_name(each) for each in (self.takes, self.returns))
        return {"takes": takes, "returns": returns, "vector": self.vector}

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> RowForm:
        """The form from its plain values."""
        takes, returns = (None if tree[key] is None else getattr(torch, tree[key]) for key in ("takes", "returns"))
        return cls(takes, returns, tree["vector"])

    def rows(self, x: Tensor) -> Tensor:
        """Rows in the dtype in which a student in the teacher's place takes them."""
        return x if self.takes is None else x.to(self.takes)

    def module(self, network: nn.Module, dtype: torch.dtype) -> nn.Module:
        """A flat network in the teacher's place.

        Args:
            network: from raw rows ``(N, D)`` of ``dtype`` to raw outputs ``(N, O)``, in evaluation mode.
            dtype: dtype of the network's rows.
        """
        same = self.takes in (None, dtype) and self.returns in (None, dtype) and not self.vector
        return network if same else _Formed(network, dtype, self)

    def flat(self, answer: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A student in the teacher's place as a function of raw rows ``(N, D)`` to outputs ``(N, O)``."""
        return answer if self == RowForm() else lambda x: answer(self.rows(x)).reshape(len(x), -1)


class _Formed(nn.Module):
    """A flat network that takes and returns rows as the teacher does."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, form: RowForm) -> None:
        super().__init__()
        self.network, self.dtype, self.form = network, dtype, form
        self.training = False

    def forward(self, rows: Tensor) -> Tensor:
        y = self.network(rows.to(self.dtype))
        y = y if self.form.returns is None else y.to(self.form.returns)
        return y.squeeze(1) if self.form.vector else y

    def train(self, mode: bool = True) -> _Formed:
        """Return the module, which stays in evaluation mode."""
        return self
