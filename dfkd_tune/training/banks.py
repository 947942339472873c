"""Banks (fixed sets of prior rows with teacher outputs), and the errors of a student on them.

A study's seed fixes three banks: *pruning* (read during training), *selection* (the objective) and *report* (read once, at
the end). Each is drawn from the declared prior with its own random stream. No student trains on any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfkd_tune.teachers.probe import Probe

BANKS = ("pruning", "selection", "report")
MEASURED_ROWS = {"cpu": 16_384, "cuda": 2**20}
"""Rows, summed over members, that are evaluated at once: as many as fit in a processor's cache, or keep a GPU busy."""
POOL_ROWS = 65_536
POOL_LEAST = 1_024
POOL_SECONDS = 20.0
"""Seconds for labeling the pool: with a slow teacher the pool is reduced to about this time."""


@dataclass(frozen=True)
class Sample:
    """Rows on which models as their files load are compared with the models in training.

    Args:
        z: standardized rows ``(N, D)`` on the CPU.
        targets: outputs ``(N, O)`` of the teacher as its file loads, float64, in its units.
        teacher_gap: largest difference between these and the outputs in training, in standard deviations of the teacher.
    """

    z: Tensor
    targets: Tensor
    teacher_gap: float


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
class Pool:
    """Prior rows with the teacher's outputs, drawn once and used by every member.

    Args:
        z: standardized rows ``(P, D)``.
        values: normalized outputs ``(P, O)``.
        gradients: input gradients ``(P, O, D)`` of the normalized outputs; None for a black box or if they are too large.
    """

    z: Tensor
    values: Tensor
    gradients: Tensor | None

    def __len__(self) -> int:
        return len(self.z)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Rows ``(K, B, D)`` and outputs ``(K, B, O)`` at an index ``(K, B)``."""
        flat = index.reshape(-1)
        shape = tuple(index.shape)
        return self.z.index_select(0, flat).view(*shape, -1), self.values.index_select(0, flat).view(*shape, -1)


@dataclass(frozen=True)
class Fidelity:
    """Errors of one student against the teacher on a bank.

    Args:
        rmse: root mean square gap over rows and outputs, in the teacher's units.
        nrmse: the same with every output divided by the teacher's standard deviation.
        by_output: RMSE of each output, in that output's units.
        rows: number of rows.
        error: standard error of ``nrmse`` over the rows: that of the mean square by the normal approximation, over ``2 nrmse``.
    """

    rmse: float
    nrmse: float
    by_output: tuple[float, ...]
    rows: int = 0
    error: float = 0.0


def pooled(parts: Sequence[Fidelity]) -> Fidelity:
    """The errors over the rows of several disjoint banks together."""
    shares = [part.rows / sum(each.rows for each in parts) for part in parts]

    def over(values: Sequence[float]) -> float:
        return math.sqrt(sum(share * value**2 for share, value in zip(shares, values, strict=True)))

    nrmse = over([part.nrmse for part in parts])
    squares = sum((share * 2 * part.nrmse * part.error) ** 2 for share, part in zip(shares, parts, strict=True))
    return Fidelity(
        over([part.rmse for part in parts]),
        nrmse,
        tuple(over(each) for each in zip(*(part.by_output for part in parts), strict=True)),
        sum(part.rows for part in parts),
        math.sqrt(squares) / (2 * nrmse) if nrmse > 0 else 0.0,
    )


def measure(student: Callable[[Tensor], Tensor], bank: Bank, members: int) -> list[Fidelity]:
    """Errors of K stacked students; ``student`` maps rows ``(K, n, D)`` to normalized outputs ``(K, n, O)``."""
    total = torch.zeros(members, bank.values.shape[1], dtype=torch.float64, device=bank.z.device)
    fourth = total.new_zeros(members)
    with torch.no_grad():
        at_once = MEASURED_ROWS.get(bank.z.device.type, MEASURED_ROWS["cpu"]) // members + 1
        for z, values in zip(bank.z.split(at_once), bank.values.split(at_once), strict=True):
            gap = student(z.expand(members, *z.shape)) - values
            square = gap.double().square()
            total += square.sum(1)
            fourth += square.mean(2).square().sum(1)
    mean = (total / len(bank.z)).cpu()
    spread = bank.spread.double().cpu()
    rmse = (mean * spread**2).mean(1).sqrt().tolist()
    nrmse = mean.mean(1).sqrt().tolist()
    by_output = (mean.sqrt() * spread).tolist()
    rows = len(bank.z)
    spread_of_mean = ((fourth.cpu() / rows - mean.mean(1).square()).clamp(min=0) / rows).sqrt().tolist()
    errors = [apart / (2 * n) if n > 0 else 0.0 for apart, n in zip(spread_of_mean, nrmse, strict=True)]
    found = zip(rmse, nrmse, by_output, errors, strict=True)
    return [Fidelity(r, n, tuple(b), rows, error) for r, n, b, error in found]


def affordable_rows(probe: Probe) -> int:
    """Number of pool rows that the teacher labels, gradients included, in about ``POOL_SECONDS``."""
    passes = 3 * probe.outputs if probe.differentiable else 1
    rows = int(POOL_SECONDS * probe.rows_per_second / passes)
    return max(POOL_LEAST, min(POOL_ROWS, 1 << max(rows, 1).bit_length() - 1))
