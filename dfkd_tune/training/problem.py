"""What every member of a study shares: the normalized teacher, the pool of prior rows it has answered, the banks.

Notation: standardized inputs ``z (N, D)``; normalized outputs ``u = (T - shift) / spread``, ``(N, O)``, with shift and
spread the teacher's own mean and standard deviation over the pruning bank. No real row is involved anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.base import InitContext
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.students.base import Student
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.normalized import normalized
from dfkd_tune.teachers.output_cache import Answers
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.gradient_mask import gradient_mask
from dfkd_tune.training.raw_evaluation import ExportedStudent, RawEvaluator, outputs, outputs_of
from dfkd_tune.utils.seeding import stream

LOG = logging.getLogger(__name__)
BANKS = ("pruning", "selection", "report")
POOL_ROWS = 65_536
POOL_LEAST = 1_024
BANK_ROWS = 8_000
POOL_SECONDS = 20.0
"""A slow teacher gets a smaller pool, so that a study starts within about this time."""
GRADIENT_BYTES = 256 * 2**20
"""Input gradients of a pool beyond which they are asked for again where they are needed."""
TEACHER_BATCH = 2_048
"""Rows that the teacher answers at once: its layers then fit in a processor's cache, and what a process keeps for them is small."""
NEURON_ROWS = 8_192
"""Pool rows that the teacher's neurons are weighed by."""
KNOWN = 8
"""Rows that are asked again before kept answers are believed: code may have changed behind an unchanged name."""
SAMPLE = 64
"""Rows of the selection bank that are asked both ways."""
SHORT_CUT = 1e-3
"""Difference, in standard deviations, from which on a teacher's layers are not asked in place of the teacher."""
DELTA = 0.1
"""Reach of the differences that stand for a black box's gradients, in standard deviations of a feature."""


@dataclass(frozen=True)
class Pool:
    """Prior rows with the teacher's answers, drawn once and read by every member.

    Args:
        z: ``(P, D)``.
        values: ``(P, O)``, normalized.
        gradients: ``(P, O, D)`` input gradients of the normalized outputs, or None for a black box or a huge Jacobian.
    """

    z: Tensor
    values: Tensor
    gradients: Tensor | None

    def __len__(self) -> int:
        return len(self.z)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and answers of an index ``(K, B)``: ``(K, B, D)`` and ``(K, B, O)``."""
        flat = index.reshape(-1)
        shape = tuple(index.shape)
        return self.z.index_select(0, flat).view(*shape, -1), self.values.index_select(0, flat).view(*shape, -1)


@dataclass(frozen=True)
class Sample:
    """Rows on which what is shipped is held against what was trained.

    Args:
        z: ``(N, D)`` standardized, on the host.
        targets: ``(N, O)`` outputs of the teacher as its file loads, float64, in its units.
        teacher_gap: the largest difference from those in training, in standard deviations of the teacher.
    """

    z: Tensor
    targets: Tensor
    teacher_gap: float


class Problem:
    """The frozen setting of a study.

    Args:
        teacher: in raw units.
        inputs: what is known of its inputs.
        probe: what the teacher turned out to be.
        seed: of pool and banks; every purpose has its own stream.
        pool_rows: prior rows to train from; None lets the teacher's speed decide.
        gradients: whether the pool keeps the teacher's input gradients; None decides by their size.
        bank_rows: rows a bank.
        dtype: of the distillation.
        device: of the distillation.
        normalize: by the teacher's mean and spread; otherwise the distillation works in its own units, as published.
        answers: where what the teacher says of these rows is shared with other processes.
        check_cancelled: called while another process asks it; may raise.
    """

    def __init__(
        self,
        teacher: Teacher,
        inputs: Inputs,
        probe: Probe,
        *,
        seed: int = 0,
        pool_rows: int | None = None,
        gradients: bool | None = None,
        bank_rows: int = BANK_ROWS,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        normalize: bool = True,
        answers: Answers | None = None,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        self.inputs, self.probe, self.seed = inputs, probe, seed
        self.dtype, self.device = dtype, torch.device(device)
        self.teacher = teacher.on(self.device, inputs.raw(inputs.draw(2, stream(seed, "device"))))
        self.features, self.outputs = probe.features, probe.outputs
        self.encoder = encoder(inputs)
        self.asked = 0
        self._neutral()
        rows = pool_rows or affordable_rows(probe)
        size = rows * self.features * self.outputs * dtype.itemsize
        keeps = probe.differentiable and (size <= GRADIENT_BYTES if gradients is None else gradients)
        self._file = replace(teacher, fast=None)
        with answers.locked(check_cancelled) if answers is not None else nullcontext():
            if answers is None or not self._load_cached(answers):
                self._ask(rows, bank_rows, keeps, normalize)
                if answers is not None:
                    answers.save(self._frozen(), self.asked)
        self.frozen_rows = self.asked
        self.geometry = self._geometry()
        gradient = self.values_and_gradients if probe.differentiable else None
        self.matched = gradient_mask(self.encoder, self.pool.z, gradient, smooth=self.teacher.chain is not None)

    @property
    def encoded(self) -> int:
        """Columns that a student's first layer takes, E."""
        return self.encoder.encoding.width

    def _neutral(self) -> None:
        none = torch.zeros(self.outputs, dtype=torch.float64, device=self.device)
        self._normalize(none, none + 1)

    def _normalize(self, shift: Tensor, spread: Tensor) -> None:
        self.shift, self.spread = shift, spread
        self._normalized = normalized(self.teacher, self.inputs, shift, spread)

    def _ask(self, rows: int, bank_rows: int, gradients: bool, normalize: bool) -> None:
        """Draw banks and pool and let the teacher answer them."""
        z = {name: self._draw(name, bank_rows) for name in BANKS}
        values = {
            name: self._finite(z[name], self.answer_in_chunks(z[name])) for name in BANKS
        }  # in its own units, as yet
        shift, spread = self.shift, self.spread
        if normalize:
            shift, spread = values["pruning"].mean(0), values["pruning"].std(0)
        self._normalize(shift.to(self.dtype), spread.to(self.dtype))
        self.banks = {
            n: Bank(z[n], ((values[n] - self.shift) / self.spread).to(self.dtype), self.spread) for n in BANKS
        }
        if self.teacher.fast is not None and not self.sample.teacher_gap <= SHORT_CUT:
            LOG.warning(
                "%s is asked as it is: its layers, read from it, differ by %.2g standard deviations",
                self.teacher.source,
                self.sample.teacher_gap,
            )
            self.teacher = self._file.on(self.device, self.inputs.raw(self.sample.z))
            del self.sample
            self._neutral()
            return self._ask(rows, bank_rows, gradients, normalize)
        self.pool = self._pool(rows, gradients)

    def _frozen(self) -> dict[str, Tensor]:
        """All that the teacher was asked for, as ``_load_cached`` takes it."""
        tensors = {"shift": self.shift, "spread": self.spread, "pool.z": self.pool.z, "pool.values": self.pool.values}
        for name, bank in self.banks.items():
            tensors |= {f"{name}.z": bank.z, f"{name}.values": bank.values}
        return tensors | ({} if self.pool.gradients is None else {"pool.gradients": self.pool.gradients})

    def _load_cached(self, answers: Answers) -> bool:
        """Take what another process was told; whether there is such a thing, and the teacher still says it."""
        kept = answers.load()
        if kept is None:
            return False
        tensors = {name: tensor.to(self.device) for name, tensor in kept[0].items()}
        self._normalize(tensors["shift"], tensors["spread"])
        self.banks = {n: Bank(tensors[f"{n}.z"], tensors[f"{n}.values"], self.spread) for n in BANKS}
        self.pool = Pool(tensors["pool.z"], tensors["pool.values"], tensors.get("pool.gradients"))
        bank = self.banks["pruning"]
        same = self.still_says(bank.z[:KNOWN], bank.values[:KNOWN])
        self.asked = kept[1] if same else 0  # what this process asked to be sure is not the study's
        if not same:
            LOG.warning("%s answers otherwise than it did: it is asked for everything again", self.teacher.source)
            self._neutral()
        return same

    @cached_property
    def sample(self) -> Sample:
        """Rows of the selection bank that the teacher answered both ways: as its file loads, and as it is asked in training."""
        bank = self.banks["selection"]
        z, values = bank.z[:SAMPLE], bank.values[:SAMPLE].double()
        units = self.shift.double(), self.spread.double()
        if self.teacher.fast is None:  # both ways are one
            return Sample(z.cpu(), (units[0] + units[1] * values).cpu(), 0.0)
        self.asked += len(z)
        targets = outputs(self._file, self.inputs, z)
        gap = ((targets.to(z.device) - units[0]) / units[1] - values).abs().max()
        return Sample(z.cpu(), targets, float(gap))

    def still_says(self, z: Tensor, values: Tensor) -> bool:
        """Whether the teacher's answers to rows are what they were, ``(N, O)`` normalized, to rounding."""
        return torch.allclose(self.answer(z), values, rtol=1e-3, atol=1e-3)

    def answer(self, z: Tensor) -> Tensor:
        """The normalized teacher, ``(N, D) -> (N, O)``, without gradients."""
        self.asked += len(z)
        return self._normalized.answer(z)

    def vjp(self, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The same answers, and their pullback ``(N, O) -> (N, D)``."""
        self.asked += len(z)
        return self._normalized.vjp(z)

    def answer_in_chunks(self, z: Tensor) -> Tensor:
        """The same, in bounded memory."""
        return torch.cat([self.answer(part) for part in z.split(TEACHER_BATCH)])

    def _draw(self, purpose: str, rows: int) -> Tensor:
        return self.inputs.draw(rows, stream(self.seed, purpose)).to(self.device, self.dtype)

    def _pool(self, rows: int, gradients: bool) -> Pool:
        z = self._draw("pool", rows)
        if not gradients:
            return Pool(z, self._finite(z, self.answer_in_chunks(z)), None)
        values, pulled = zip(*(self.values_and_gradients(part) for part in z.split(TEACHER_BATCH)), strict=True)
        return Pool(z, self._finite(z, torch.cat(values)), torch.cat(pulled).nan_to_num(0.0, 0.0, 0.0))

    def _finite(self, z: Tensor, values: Tensor) -> Tensor:
        """The teacher's outputs to prior rows, which must all be numbers.

        Raises:
            TeacherError: with a row that has none.
        """
        bad = (~values.isfinite()).any(1).nonzero().flatten()
        if len(bad):
            row = self.teacher.guard.row(self.inputs.raw(z[bad[0]].cpu()))
            raise TeacherError(
                self.teacher.source,
                f"must answer finite numbers, {len(bad):,} of {len(z):,} prior rows gave NaN or infinity, one is {row}",
                remedy="check the units and ranges in the features file",
            )
        return values

    def _geometry(self) -> Geometry:
        low, high = (edge.to(self.device, self.dtype) for edge in (self.inputs.low, self.inputs.high))
        covariance = torch.atleast_2d(torch.cov(self.pool.z.double().T))
        ridge = 1e-6 * torch.eye(self.features, dtype=torch.float64, device=self.device)
        return Geometry(low, high, torch.linalg.inv(covariance + ridge).to(self.dtype))

    def values_and_gradients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Answers ``(N, O)`` and input gradients ``(N, O, D)`` of rows ``(N, D)``, from one forward pass."""
        u, pull = self.vjp(z)
        ones = torch.eye(self.outputs, dtype=self.dtype, device=self.device)
        return u, torch.stack([pull(one.expand(len(z), -1)) for one in ones], dim=1)

    def known(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pool rows of an index ``(N,)`` with answers and input gradients, computed where the pool holds none."""
        z = self.pool.z[index]
        if self.pool.gradients is not None:
            return z, self.pool.values[index], self.pool.gradients[index]
        return z, *self.labels(z)

    def init_context(self, recipe: Recipe) -> InitContext:
        """What the initializer of a recipe may know."""
        chain = self.teacher.chain
        return InitContext(
            student=recipe.student,
            encoder=self.encoder,
            z=self.pool.z,
            values=self.pool.values,
            gradients=self.pool.gradients,
            outputs=self.outputs,
            dtype=self.dtype,
            device=self.device,
            neurons=len(chain.layers[0][0]) if chain is not None and len(chain.layers) > 1 else 0,
            first_layer=lambda: self.neurons,
            gradient_weight=recipe.loss.gradient_weight,
            matched=self.matched,
            row_budget=recipe.steps * recipe.batch,
        )

    @cached_property
    def neurons(self) -> tuple[Tensor, Tensor]:
        """The teacher's first-layer neurons ``[w, b]``, ``(N, E + 1)`` over encoded rows, and what each contributes, ``(N,)``.

        Float64, on the host; where its layers can be read. Neurons of an odd activation are turned so that their output weight is
        positive, and each counts as if it were tanh, ``|v| std(tanh)`` over pool rows.
        """
        chain = self.teacher.chain
        assert chain is not None  # asked where its layers can be read
        (raw, bias), (out, _) = ((w.double().cpu(), b.double().cpu()) for w, b in chain.layers[:2])
        weight, bias = self.encoder.first_layer(raw, bias)
        parts = self.encoder.rows(self.pool.z[:NEURON_ROWS].double().cpu()).split(TEACHER_BATCH)
        moments = [(a.sum(0), a.square().sum(0)) for a in (torch.tanh(part @ weight.T + bias) for part in parts)]
        mean, square = (
            reduce(torch.add, each) / min(NEURON_ROWS, len(self.pool)) for each in zip(*moments, strict=True)
        )
        spread = (square - mean.square()).clamp(min=0).sqrt()
        neurons = torch.cat([weight, bias[:, None]], dim=1)
        if chain.activations[0] == "tanh":
            neurons = neurons * torch.where(out.sum(0) < 0, -1.0, 1.0)[:, None]
        return neurons, out.norm(dim=0) * spread

    @property
    def label_rows(self) -> int:
        """Teacher rows that the answers and input gradients of one row cost."""
        return 1 if self.probe.differentiable else 1 + 2 * len(self._movable)

    @cached_property
    def _movable(self) -> list[int]:
        """Features that can be moved alone, up and down."""
        return [i for i in range(self.features) if i not in (*self.inputs.nominal, *self.inputs.simplex)]

    def labels(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and input gradients of rows; by differences for a black box, two further rows a feature that can be moved alone."""
        if self.probe.differentiable:
            parts = [self.values_and_gradients(part) for part in z.split(TEACHER_BATCH)]
            values, gradients = zip(*parts, strict=True)
            return torch.cat(values), torch.cat(gradients)
        found = z.new_zeros(len(z), self.outputs, self.features)
        for i in self._movable:
            ahead, behind = self.inputs.around(z, i, DELTA)
            change = self.answer_in_chunks(ahead) - self.answer_in_chunks(behind)
            apart = (ahead - behind)[:, i, None]
            found[:, :, i] = torch.where(apart > 0, change / apart, 0.0)
        return self.answer_in_chunks(z), found

    @property
    def evaluator(self) -> RawEvaluator:
        """What exported students are held against."""
        return RawEvaluator(self._file, self.inputs, self.seed, len(self.banks["selection"].z))

    def on_bank(self, name: str, student: nn.Module) -> tuple[Tensor, Tensor]:
        """Outputs of the teacher in training and of a student between raw units on a bank, to look at: as ``held`` gives them."""
        bank = self.banks[name]
        known = ExportedStudent.of(student, self.encoder.encoding.torch_dtype)
        theirs = bank.values.double() * self.spread.double() + self.shift.double()
        return theirs.cpu(), outputs_of(known, self.inputs, bank.z)

    def held(self, name: str, student: ExportedStudent) -> tuple[Tensor, Tensor]:
        """Outputs of the teacher, as its file loads, and of an exported student on a bank: ``(N, O)`` each, float64, in its units."""
        z = self.banks[name].z
        self.asked += len(z)
        return outputs(self._file, self.inputs, z), outputs_of(student, self.inputs, z)

    def file_outputs(self, z: Tensor) -> Tensor:
        """The teacher's outputs at standardized rows ``(N, D)`` as its file loads: ``(N, O)``, float64, in its units."""
        self.asked += len(z)
        return outputs(self._file, self.inputs, z)

    def module(self, student: Student, weights: Sequence[Tensor]) -> nn.Module:
        """One member's student as an ``nn.Module`` between raw units (see ``MLP.module``)."""
        shift, spread = self.shift.cpu().double(), self.spread.cpu().double()
        return student.module([w.cpu() for w in weights], self.encoder.encoding, shift, spread)


def affordable_rows(probe: Probe) -> int:
    """Pool rows that the teacher answers, gradients included, in about ``POOL_SECONDS``."""
    passes = 3 * probe.outputs if probe.differentiable else 1
    rows = int(POOL_SECONDS * probe.rows_per_second / passes)
    return max(POOL_LEAST, min(POOL_ROWS, 1 << max(rows, 1).bit_length() - 1))
