"""``Problem``: what all members of a study share, namely the normalized teacher, the pool of labeled prior rows, and the banks.

Notation: standardized inputs ``z (N, D)``; normalized outputs ``u = (T - shift) / spread``, ``(N, O)``. Shift and spread are
the mean and standard deviation of the teacher's outputs on the pruning bank. No real row is used anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.domain.fit import Domain, domain_of
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
from dfkd_tune.training.banks import BANKS, Bank, Pool, Sample, affordable_rows
from dfkd_tune.training.gradient_mask import gradient_mask
from dfkd_tune.training.raw_evaluation import ExportedStudent, RawEvaluator, outputs, outputs_of
from dfkd_tune.utils.seeding import stream

LOG = logging.getLogger(__name__)
BANK_ROWS = 8_000
GRADIENT_BYTES = 256 * 2**20
"""Largest size of the pool's input gradients; larger ones are computed whenever needed."""
TEACHER_BATCH = 2_048
"""Rows in one teacher call. With so few, activations fit in the processor's cache and take little memory."""
NEURON_ROWS = 8_192
"""Pool rows on which the contributions of the teacher's neurons are computed."""
KNOWN = 8
"""Rows queried again before cached outputs are used, because a teacher's code may change while its name does not."""
SAMPLE = 64
"""Rows of the selection bank on which the teacher's file and its fast form are compared."""
SHORT_CUT = 1e-3
"""Largest difference, in standard deviations, at which a teacher's fast form replaces the teacher."""
DELTA = 0.1
"""Step of the finite differences for a black box's gradients, in standard deviations of a feature."""


class Problem:
    """The fixed setting of a study: teacher, prior, pool and banks.

    Args:
        teacher: the teacher, in raw units.
        inputs: what is declared about its inputs.
        probe: result of probing the teacher.
        seed: seed of pool and banks; each has its own random stream.
        pool_rows: number of pool rows; None lets the teacher's speed decide.
        gradients: whether the pool keeps the teacher's input gradients; None decides by their size.
        bank_rows: number of rows in each bank.
        dtype: dtype of the distillation.
        device: device of the distillation.
        normalize: normalize outputs by the teacher's mean and standard deviation; if false, use its units, as published.
        answers: cache through which processes share the teacher's outputs on these rows.
        check_cancelled: called while waiting for another process's queries; may raise.
    """

    asks: ClassVar[bool] = True
    """Whether it may query the teacher for rows of single trials."""
    trained_folds = 1
    """Number of folds for which a trial trains a student; more than one is cross-validation."""
    population: int | None = None
    """Number of different inputs if there are few and students train on each of them; None otherwise."""

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
        inputs = inputs.laid_out(teacher.layout)
        self.inputs, self.probe, self.seed = inputs, probe, seed
        self.dtype, self.device = dtype, torch.device(device)
        self.teacher = teacher.on(self.device, inputs.raw(inputs.draw(2, stream(seed, "device"))))
        self.features, self.outputs = probe.features, probe.outputs
        self.encoder, self.queries = encoder(inputs), 0
        self._neutral()
        rows = pool_rows or affordable_rows(probe)
        size = rows * self.features * self.outputs * dtype.itemsize
        keeps = probe.differentiable and (size <= GRADIENT_BYTES if gradients is None else gradients)
        self._file = replace(teacher, fast=None)
        with answers.locked(check_cancelled) if answers is not None else nullcontext():
            if answers is None or not self._load_cached(answers):
                self._ask(rows, bank_rows, keeps, normalize)
                if answers is not None:
                    answers.save(self._frozen(), self.queries)
        self.frozen_rows, self.geometry = self.queries, self._geometry()
        gradient = self.values_and_gradients if probe.differentiable else None
        self.matched = gradient_mask(self.encoder, self.pool.z, gradient, smooth=self.teacher.chain is not None)

    @property
    def attack(self) -> tuple[int, int] | None:
        """Where rows are counted: those of earlier attacks, which the next does not repeat, and its own most; None elsewhere."""
        return None

    @property
    def answered_rows(self) -> int | None:
        """Number of answered rows that all students share, where that number grows during a study; None elsewhere."""
        return None

    @property
    def columns(self) -> Columns:
        """How the encoded columns of a row, the inputs of a student, are arranged."""
        return self.encoder.columns

    def bank(self, name: str, fold: int) -> Bank:
        """The bank on which members of a fold are measured."""
        return self.banks[name]

    def training_rows(self, fold: int) -> Tensor | None:
        """Indices of the pool rows that members of a fold train on; None for all of them."""
        return None

    def remember(self, key: str, folds: Sequence[Sequence[Tensor]]) -> None:
        """Keep the weights of a finished student for every fold, where it may be asked as one of a committee."""

    def committee(self, fold: int) -> list[tuple[Student, Sequence[Tensor]]]:
        """Students of the best trials, the best first, with their weights for a fold: who may label rows for what begins to train now."""
        return []

    def drawn(self, shape: tuple[int, ...], fold: int, rng: torch.Generator) -> Tensor:
        """Random indices of pool rows that a member of a fold trains on."""
        rows = self.training_rows(fold)
        index = torch.randint(len(self.pool) if rows is None else len(rows), shape, generator=rng)
        return index if rows is None else rows[index]

    def _neutral(self) -> None:
        none = torch.zeros(self.outputs, dtype=torch.float64, device=self.device)
        self._normalize(none, none + 1)

    def _normalize(self, shift: Tensor, spread: Tensor) -> None:
        self.shift, self.spread = shift, spread
        self._normalized = normalized(self.teacher, self.inputs, shift, spread)

    def _ask(self, rows: int, bank_rows: int, gradients: bool, normalize: bool) -> None:
        """Draw banks and pool, and query the teacher for them."""
        z = {name: self._draw(name, bank_rows) for name in BANKS}
        values = {
            name: self._finite(z[name], self.answer_in_chunks(z[name])) for name in BANKS
        }  # in the teacher's units until they are normalized
        shift, spread = self.shift, self.spread
        if normalize:
            shift, spread = values["pruning"].mean(0), values["pruning"].std(0)
        self._normalize(shift.to(self.dtype), spread.to(self.dtype))
        self.banks = {
            n: Bank(z[n], ((values[n] - self.shift) / self.spread).to(self.dtype), self.spread) for n in BANKS
        }
        if self.teacher.fast is not None and not self.sample.teacher_gap <= SHORT_CUT:
            LOG.warning(
                "%s is queried directly: outputs of the layers read from it differ by %.2g standard deviations",
                self.teacher.source,
                self.sample.teacher_gap,
            )
            self.teacher = self._file.on(self.device, self.inputs.raw(self.sample.z))
            del self.sample
            self._neutral()
            return self._ask(rows, bank_rows, gradients, normalize)
        self.pool = self._pool(rows, gradients)

    def _frozen(self) -> dict[str, Tensor]:
        """All teacher outputs, in the form that ``_load_cached`` reads."""
        tensors = {"shift": self.shift, "spread": self.spread, "pool.z": self.pool.z, "pool.values": self.pool.values}
        for name, bank in self.banks.items():
            tensors |= {f"{name}.z": bank.z, f"{name}.values": bank.values}
        return tensors | ({} if self.pool.gradients is None else {"pool.gradients": self.pool.gradients})

    def _load_cached(self, answers: Answers) -> bool:
        """Load cached outputs; returns whether there are any and the teacher still gives them."""
        kept = answers.load()
        if kept is None:
            return False
        tensors = {name: tensor.to(self.device) for name, tensor in kept[0].items()}
        self._normalize(tensors["shift"], tensors["spread"])
        self.banks = {n: Bank(tensors[f"{n}.z"], tensors[f"{n}.values"], self.spread) for n in BANKS}
        self.pool = Pool(tensors["pool.z"], tensors["pool.values"], tensors.get("pool.gradients"))
        bank = self.banks["pruning"]
        same = self.still_says(bank.z[:KNOWN], bank.values[:KNOWN])
        self.queries = kept[1] if same else 0  # queries for this check do not count for the study
        if not same:
            LOG.warning("%s gives other outputs than before: it is queried again for all rows", self.teacher.source)
            self._neutral()
        return same

    @cached_property
    def sample(self) -> Sample:
        """Rows of the selection bank on which the teacher was evaluated as its file loads and as in training."""
        bank = self.banks["selection"]
        z, values = bank.z[:SAMPLE], bank.values[:SAMPLE].double()
        units = self.shift.double(), self.spread.double()
        if self.teacher.fast is None:  # there is only one form
            return Sample(z.cpu(), (units[0] + units[1] * values).cpu(), 0.0)
        self.queries += len(z)
        targets = outputs(self._file, self.inputs, z)
        gap = ((targets.to(z.device) - units[0]) / units[1] - values).abs().max()
        return Sample(z.cpu(), targets, float(gap))

    def still_says(self, z: Tensor, values: Tensor) -> bool:
        """Whether the teacher's outputs at ``z`` still equal ``values`` ``(N, O)``, normalized, up to rounding."""
        return torch.allclose(self.answer(z), values, rtol=1e-3, atol=1e-3)

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        """Gives the number of rows that the teacher is queried for in the block."""
        before = self.queries
        yield lambda: self.queries - before

    def answer(self, z: Tensor) -> Tensor:
        """Normalized teacher outputs ``(N, O)`` at rows ``(N, D)``, without gradients."""
        found = self._normalized.answer(z)
        self.queries += len(z)  # of those that were answered
        return found

    def vjp(self, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Normalized teacher outputs ``(N, O)`` at rows ``(N, D)``, and their vector-Jacobian product ``(N, O) -> (N, D)``."""
        self.queries += len(z)
        return self._normalized.vjp(z)

    def mismatch_gradients(self, z: Tensor) -> Tensor:
        """Gradients ``(k, n, D)`` of each member's mismatch with the teacher's batch normalization at rows ``(k, n, D)``."""
        self.queries += z.shape[0] * z.shape[1]
        return self._normalized.mismatch_gradients(z)

    def answer_in_chunks(self, z: Tensor) -> Tensor:
        """Like ``answer``, in bounded memory."""
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
        """Return the teacher's outputs at prior rows after checking that all are finite.

        Raises:
            TeacherError: if one is not; the message names a row.
        """
        bad = (~values.isfinite()).any(1).nonzero().flatten()
        if len(bad):
            row = self.teacher.guard.row(self.inputs.raw(z[bad[0]].cpu()))
            raise TeacherError(
                self.teacher.source,
                f"must give finite outputs, but {len(bad):,} of {len(z):,} prior rows gave NaN or infinity, such as {row}",
                remedy="check the units and ranges in the features file",
            )
        return values

    def _geometry(self) -> Geometry:
        low, high = (edge.to(self.device, self.dtype) for edge in (self.inputs.low, self.inputs.high))
        covariance = torch.atleast_2d(torch.cov(self.inputs.present(self.pool.z).double().T))
        ridge = 1e-6 * torch.eye(self.features, dtype=torch.float64, device=self.device)
        return Geometry(low, high, torch.linalg.inv(covariance + ridge).to(self.dtype))

    def values_and_gradients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``(N, O)`` and input gradients ``(N, O, D)`` at rows ``(N, D)``, from one forward pass."""
        u, pull = self.vjp(z)
        ones = torch.eye(self.outputs, dtype=self.dtype, device=self.device)
        return u, torch.stack([pull(one.expand(len(z), -1)) for one in ones], dim=1)

    def known(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pool rows at an index ``(N,)`` with outputs and input gradients, which are computed if the pool has none."""
        z = self.pool.z[index]
        if self.pool.gradients is not None:
            return z, self.pool.values[index], self.pool.gradients[index]
        return z, *self.labels(z)

    def init_context(self, recipe: Recipe, fold: int = 0) -> InitContext:
        """The context of a recipe's initializer, for members of a fold."""
        chain, rows = self.teacher.chain, self.training_rows(fold)
        return InitContext(
            student=recipe.student,
            encoder=self.encoder,
            z=self.pool.z if rows is None else self.pool.z[rows],
            values=self.pool.values if rows is None else self.pool.values[rows],
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
        """The teacher's first-layer neurons ``[w, b]``, ``(N, E + 1)`` over encoded rows, and the contribution of each, ``(N,)``.

        Both are float64 on the CPU; the teacher's layers must be readable. Neurons of an odd activation get the sign that makes their
        output weight v positive. The contribution is ``|v| std(tanh)`` over pool rows, whatever the activation.
        """
        chain = self.teacher.chain
        assert chain is not None  # only called if the layers can be read
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
        """Number of teacher queries for the outputs and input gradients of one row."""
        return 1 if self.probe.differentiable else 1 + 2 * len(self._movable)

    @cached_property
    def _movable(self) -> list[int]:
        """Features that can be moved up and down while all others stay, in every row."""
        fixed = {*self.inputs.nominal, *self.inputs.simplex, *self.inputs.gapped}
        return [i for i in range(self.features) if i not in fixed]

    def labels(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and input gradients; for a black box by finite differences, with two more queries for each movable feature."""
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

    @cached_property
    def domain(self) -> Domain | None:
        return domain_of(self.inputs, self.seed)

    @property
    def output_names(self) -> list[str]:
        return self.teacher.output_names(self.outputs)

    @property
    def evaluator(self) -> RawEvaluator:
        """Evaluator that compares exported students with the teacher."""
        return RawEvaluator(self._file, self.inputs, self.seed, len(self.banks["selection"].z))

    def on_bank(self, name: str, student: nn.Module) -> tuple[Tensor, Tensor]:
        """Outputs of the teacher in training and of a raw-unit student on a bank, for figures; in the form of ``held``."""
        bank = self.banks[name]
        known = ExportedStudent.of(student, self.encoder.encoding.torch_dtype)
        theirs = bank.values.double() * self.spread.double() + self.shift.double()
        return theirs.cpu(), outputs_of(known, self.inputs, bank.z)

    def held(self, name: str, student: ExportedStudent) -> tuple[Tensor, Tensor]:
        """Outputs of the teacher as its file loads and of an exported student on a bank: ``(N, O)`` each, float64, in its units."""
        z = self.banks[name].z
        self.queries += len(z)
        return outputs(self._file, self.inputs, z), outputs_of(student, self.inputs, z)

    def file_outputs(self, z: Tensor) -> Tensor:
        """Outputs ``(N, O)`` of the teacher as its file loads at standardized rows ``(N, D)``; float64, in its units."""
        self.queries += len(z)
        return outputs(self._file, self.inputs, z)

    def module(self, student: Student, weights: Sequence[Tensor]) -> nn.Module:
        """One member's student as an ``nn.Module`` from raw rows to raw outputs (see ``Student.module``)."""
        shift, spread = self.shift.cpu().double(), self.spread.cpu().double()
        return student.module([w.cpu() for w in weights], self.columns, self.encoder.encoding, shift, spread)
