"""Banks (fixed sets of prior rows with teacher outputs), and the errors of a student on them.

A study's seed fixes three banks: *pruning* (read during training), *selection* (the objective) and *report* (read once, at
the end). Each is drawn from the declared prior with its own random stream. No student trains on any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MEASURED_ROWS = 16_384
"""Rows, summed over members, that are evaluated at once."""


@dataclass(frozen=True)
class Bank:
    """Fixed prior rows and the teacher's outputs there.

    Args:
        z: standardized rows ``(N, D)``.
        values: normalized teacher outputs ``(N, O)``.
        spread: the teacher's standard deviations ``(O,)``, which convert normalized gaps to its units.
    """

    z: Tensor
    values: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Fidelity:
    """Errors of one student against the teacher on a bank.

    Args:
        rmse: root mean square gap over rows and outputs, in the teacher's units.
        nrmse: the same with every output divided by the teacher's standard deviation.
        by_output: RMSE of each output, in that output's units.
    """

    rmse: float
    nrmse: float
    by_output: tuple[float, ...]


def measure(student: Callable[[Tensor], Tensor], bank: Bank, members: int) -> list[Fidelity]:
    """Errors of K stacked students; ``student`` maps rows ``(K, n, D)`` to normalized outputs ``(K, n, O)``."""
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
