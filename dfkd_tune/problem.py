"""What every member of a study shares: the normalized teacher, the pool of prior rows it has answered, the banks.

Notation: standardized inputs ``z (N, D)``; normalized outputs ``u = (T - shift) / spread``, ``(N, O)``, with shift and
spread the teacher's own mean and standard deviation over the pruning bank. No real row is involved anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .input_bounds import Geometry
from .inputs import Inputs
from .probes import Bank
from .seeds import stream
from .teachers import Probe, Teacher

POOL_ROWS = 65_536
BANK_ROWS = 8_000
POOL_SECONDS = 20.0
"""A slow teacher gets a smaller pool, so that a study starts within about this time."""
SLOPE_BYTES = 256 * 2**20
CHUNK = 8_192
DELTA = 0.1
"""Reach of the differences that stand for a black box's gradients, in standard deviations of a feature."""


@dataclass(frozen=True)
class Pool:
    """Prior rows with the teacher's answers, drawn once and read by every member.

    Args:
        z: ``(P, D)``.
        values: ``(P, O)``, normalized.
        slopes: ``(P, O, D)`` input gradients of the normalized outputs, or None for a black box or a huge Jacobian.
    """

    z: Tensor
    values: Tensor
    slopes: Tensor | None

    def __len__(self) -> int:
        return len(self.z)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and answers of an index ``(K, B)``: ``(K, B, D)`` and ``(K, B, O)``."""
        flat = index.reshape(-1)
        shape = tuple(index.shape)
        return self.z.index_select(0, flat).view(*shape, -1), self.values.index_select(0, flat).view(*shape, -1)


class Problem:
    """The frozen setting of a study.

    Args:
        teacher: in raw units.
        inputs: what is known of its inputs.
        probe: what the teacher turned out to be.
        seed: of pool and banks; every purpose has its own stream.
        pool_rows: prior rows to train from; None lets the teacher's speed decide.
        bank_rows: rows a bank.
        dtype: of the distillation.
        device: of the distillation.
        normalize: by the teacher's mean and spread; otherwise the distillation works in its own units, as published.
    """

    def __init__(
        self,
        teacher: Teacher,
        inputs: Inputs,
        probe: Probe,
        *,
        seed: int = 0,
        pool_rows: int | None = None,
        bank_rows: int = BANK_ROWS,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        normalize: bool = True,
    ):
        self.inputs, self.teacher, self.probe, self.seed = inputs, teacher, probe, seed
        self.dtype, self.device = dtype, torch.device(device)
        self.features, self.outputs = probe.features, probe.outputs
        self._center = inputs.center.to(device, teacher.dtype)
        self._scale = inputs.scale.to(device, teacher.dtype)
        self._plain = not bool((inputs.center != 0).any() or (inputs.scale != 1).any())
        self.shift = torch.zeros(self.outputs, dtype=dtype, device=device)
        self.spread = torch.ones(self.outputs, dtype=dtype, device=device)
        raw = {name: self._bank(name, bank_rows) for name in ("pruning", "selection", "report")}
        if normalize:
            self.shift = raw["pruning"].values.double().mean(0).to(dtype)
            self.spread = raw["pruning"].values.double().std(0).to(dtype)
        self.banks = {n: Bank(b.z, (b.values - self.shift) / self.spread, self.spread) for n, b in raw.items()}
        self.pool = self._pool(pool_rows or affordable_rows(probe))
        self.geometry = self._geometry()

    def answer(self, z: Tensor) -> Tensor:
        """The normalized teacher, ``(N, D) -> (N, O)``, without gradients."""
        with torch.no_grad():
            return (self.teacher(self._raw(z)).to(self.dtype) - self.shift) / self.spread

    def record(self, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The same answers, and their pullback ``(N, O) -> (N, D)``."""
        y, pull = self.teacher.record(self._raw(z))

        def back(slope: Tensor) -> Tensor:
            x_slope = pull((slope / self.spread).to(y.dtype))
            return (x_slope if self._plain else x_slope * self._scale).to(self.dtype)

        return (y.to(self.dtype) - self.shift) / self.spread, back

    def _raw(self, z: Tensor) -> Tensor:
        z = z.to(self.teacher.dtype)
        return z if self._plain else torch.addcmul(self._center, z, self._scale)

    def answer_in_chunks(self, z: Tensor) -> Tensor:
        """The same, in bounded memory."""
        return torch.cat([self.answer(part) for part in z.split(CHUNK)])

    def _bank(self, name: str, rows: int) -> Bank:
        z = self._draw(name, rows)
        return Bank(z, self.answer_in_chunks(z), self.spread)

    def _draw(self, purpose: str, rows: int) -> Tensor:
        return self.inputs.draw(rows, stream(self.seed, purpose)).to(self.device, self.dtype)

    def _pool(self, rows: int) -> Pool:
        z = self._draw("pool", rows)
        size = rows * self.features * self.outputs * z.element_size()
        if not self.probe.differentiable or size > SLOPE_BYTES:
            return Pool(z, self.answer_in_chunks(z), None)
        values, slopes = zip(*(self.values_and_slopes(part) for part in z.split(CHUNK)), strict=True)
        return Pool(z, torch.cat(values), torch.cat(slopes))

    def _geometry(self) -> Geometry:
        low, high = (edge.to(self.device, self.dtype) for edge in (self.inputs.low, self.inputs.high))
        covariance = torch.atleast_2d(torch.cov(self.pool.z.double().T))
        ridge = 1e-6 * torch.eye(self.features, dtype=torch.float64, device=self.device)
        return Geometry(low, high, torch.linalg.inv(covariance + ridge).to(self.dtype))

    def values_and_slopes(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Answers ``(N, O)`` and input gradients ``(N, O, D)`` of rows ``(N, D)``, from one forward pass."""
        u, pull = self.record(z)
        ones = torch.eye(self.outputs, dtype=self.dtype, device=self.device)
        return u, torch.stack([pull(one.expand(len(z), -1)) for one in ones], dim=1)

    def known(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pool rows of an index ``(N,)`` with answers and input gradients, computed where the pool holds none."""
        z = self.pool.z[index]
        if self.pool.slopes is not None:
            return z, self.pool.values[index], self.pool.slopes[index]
        return z, *self.labels(z)

    @property
    def label_rows(self) -> int:
        """Teacher rows that the answers and input gradients of one row cost."""
        return 1 if self.probe.differentiable else 1 + 2 * self.features

    def labels(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and input gradients of rows; by central differences for a black box, ``2 D`` further rows each."""
        if self.probe.differentiable:
            parts = [self.values_and_slopes(part) for part in z.split(CHUNK)]
            values, slopes = zip(*parts, strict=True)
            return torch.cat(values), torch.cat(slopes)
        steps = DELTA * torch.eye(self.features, dtype=self.dtype, device=self.device)
        ahead = [self.answer_in_chunks(z + step) - self.answer_in_chunks(z - step) for step in steps]
        return self.answer_in_chunks(z), torch.stack(ahead, dim=-1) / (2 * DELTA)

    def on_bank(self, name: str, student: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The teacher's answers to a bank and those of a student between raw units: ``(N, O)`` each, float64, in its units."""
        bank = self.banks[name]
        with torch.no_grad():
            answers = student(self.inputs.raw(bank.z).float()).double()
        return (bank.values.double() * self.spread.double() + self.shift.double()).cpu(), answers

    def module(self, recipe_student, weights: Sequence[Tensor]):
        """One member's student as an ``nn.Module`` between raw units (see ``MLP.module``)."""
        host = [tensor.cpu().double() for tensor in (self.inputs.center, self.inputs.scale, self.shift, self.spread)]
        return recipe_student.module([w.cpu() for w in weights], *host)


def affordable_rows(probe: Probe) -> int:
    """Pool rows that the teacher answers, gradients included, in about ``POOL_SECONDS``."""
    passes = 3 * probe.outputs if probe.differentiable else 1
    rows = int(POOL_SECONDS * probe.rows_per_second / passes)
    return max(1_024, min(POOL_ROWS, 1 << max(rows, 1).bit_length() - 1))
