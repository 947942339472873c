"""The frozen banks, and the fidelity measured on them.

A study freezes three banks by its seed, each drawn from the declared prior by a stream of its own, none of them seen in
training: *pruning* (read along the way), *selection* (the objective) and *report* (opened once, at the end).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MEASURED_ROWS = 16_384
"""Rows, over all members, that are measured at once."""


@dataclass(frozen=True)
class Bank:
    """Frozen probe rows and the teacher's answers.

    Args:
        z: ``(N, D)`` standardized.
        values: ``(N, O)`` normalized.
        spread: ``(O,)`` the teacher's standard deviations, which turn normalized gaps into its units.
    """

    z: Tensor
    values: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Fidelity:
    """How well one student answers like the teacher on a bank.

    Args:
        rmse: root mean square gap over rows and outputs, in the teacher's units.
        nrmse: the same with every output divided by the teacher's standard deviation.
        by_output: RMSE of each output, in its units.
    """

    rmse: float
    nrmse: float
    by_output: tuple[float, ...]


def measure(student: Callable[[Tensor], Tensor], bank: Bank, members: int) -> list[Fidelity]:
    """Fidelity of K stacked students, ``student`` mapping ``(K, n, D)`` to normalized ``(K, n, O)``."""
    total = torch.zeros(members, bank.values.shape[1], dtype=torch.float64, device=bank.z.device)
    with torch.no_grad():
        for z, values in zip(
            bank.z.split(MEASURED_ROWS // members + 1), bank.values.split(MEASURED_ROWS // members + 1), strict=True
        ):
            gap = student(z.expand(members, *z.shape)) - values
            total += gap.double().square().sum(1)
    mean = (total / len(bank.z)).cpu()
    spread = bank.spread.double().cpu()
    rmse = (mean * spread**2).mean(1).sqrt().tolist()
    nrmse = mean.mean(1).sqrt().tolist()
    by_output = (mean.sqrt() * spread).tolist()
    return [Fidelity(r, n, tuple(b)) for r, n, b in zip(rmse, nrmse, by_output, strict=True)]
