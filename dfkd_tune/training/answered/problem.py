"""``AnsweredProblem``: a problem whose pool and banks are the rows that a study's teacher has answered so far.

Nothing is asked here. All trials train on the whole set, which grows by rounds, except for the rows that are held out of them
(``training.answered.folds``). Shift and spread are those of the first round's prior rows, so that they do not change as the set grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.students.base import Student
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.metering.answered_rows import SUFFIX
from dfkd_tune.teachers.metering.parts import CERTIFICATE
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.training.answered.finished_student import FinishedStudent, keep
from dfkd_tune.training.answered.folds import Fold, folds, folds_trained
from dfkd_tune.training.banks import Bank, Pool
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, outputs_of

HELD = ("pruning", "selection", "stress")
"""Banks of a fold."""


@dataclass(frozen=True)
class Answered:
    """The answered rows of a study by their use: rows ``(N, D)`` in the teacher's units, and its outputs ``(N, O)``.

    Args:
        report: rows of the report bank, on which no student trains.
        prior, stress: rows of the first round.
        rounds: rows of each later round, in order.
        different: whether the first of them holds every different row, of which the others are copies.
    """

    report: tuple[Tensor, Tensor]
    prior: tuple[Tensor, Tensor]
    stress: tuple[Tensor, Tensor]
    rounds: tuple[tuple[Tensor, Tensor], ...] = ()
    different: bool = False

    @property
    def asked(self) -> int:
        """Number of rows that the teacher was asked for them."""
        return self.shared + (0 if self.different else len(self.report[0]))

    @property
    def shared(self) -> int:
        """Number of answered rows that students train on or are held out of them, each once."""
        return len(self.rounds[0][0]) if self.different else self.training

    @property
    def training(self) -> int:
        """Number of rows of the pool, copies included."""
        return sum(len(x) for x, _ in (self.prior, self.stress, *self.rounds))


class AnsweredProblem(Problem):
    """The setting of a study within a total number of queries.

    Args:
        teacher, inputs, probe, seed, device: as for ``Problem``; the teacher is asked for outputs alone.
        answered: the rows that are answered.
        students: folder in which the weights of finished students are kept; None to keep none.
        attack: gives, when an attack on a certified student begins, the rows of those before and its own most rows.
    """

    asks = False

    def __init__(
        self,
        teacher: Teacher,
        inputs: Inputs,
        probe: Probe,
        answered: Answered,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        students: Path | None = None,
        attack: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self._answered, self.students = answered, students
        self._attack = attack
        self.finished: Sequence[FinishedStudent] = ()  # until all trials have ended
        self._folds: list[Fold] = []
        self._outputs: dict[str, Tensor] = {}
        self.trained_folds = folds_trained(len(answered.prior[0]))
        super().__init__(
            teacher, inputs, probe, seed=seed, pool_rows=answered.training, gradients=False, dtype=dtype, device=device
        )
        self.frozen_rows = answered.asked

    @property
    def attack(self) -> tuple[int, int]:
        """As ``Problem.attack``, at this moment."""
        return self._attack()

    @property
    def answered_rows(self) -> int:
        """Number of answered rows that all students share, those held out of each included."""
        return self._answered.shared

    def _ask(self, rows: int, bank_rows: int, gradients: bool, normalize: bool) -> None:
        """Make pool and banks of answered rows."""
        values = self._answered.prior[1].to(self.device, torch.float64)
        self._normalize(values.mean(0).to(self.dtype), values.std(0).to(self.dtype))
        self.grow(self._answered)

    def grow(self, answered: Answered) -> None:
        """Train on further rounds from now on; rows of the first round and of the report bank stay as they are."""
        self._answered, self.population = answered, answered.shared if answered.different else None
        parts = [self._labeled(*part) for part in (answered.prior, answered.stress, *answered.rounds)]
        z, values = (torch.cat(each) for each in zip(*parts, strict=True))
        self.pool = Pool(z, values, None)
        self._folds = folds(len(parts[0][0]), len(parts[1][0]), sum(len(part[0]) for part in parts[2:]))
        self._banks = [
            {name: Bank(z[getattr(fold, name)], values[getattr(fold, name)], self.spread) for name in HELD}
            for fold in self._folds
        ]
        report = self._labeled(*answered.report)
        self.banks = {**self._banks[0], "report": Bank(report[0], report[1], self.spread)}
        outputs = torch.cat([answered.prior[1], answered.stress[1]]).double()
        self._outputs = {name: outputs[getattr(self._folds[0], name)] for name in HELD}
        self._outputs["report"] = answered.report[1].double()

    def _labeled(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        z = self.inputs.standardized(x).to(self.device, self.dtype)
        return z, self._finite(z, ((y.to(self.device) - self.shift) / self.spread).to(self.dtype))

    def bank(self, name: str, fold: int) -> Bank:
        """The bank of rows that are held out of the members of a fold."""
        return self.banks[name] if name == "report" else self._banks[fold][name]

    def training_rows(self, fold: int) -> Tensor:
        """Indices of the pool rows that members of a fold train on."""
        return self._folds[fold].training

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        """As ``Problem.counting``, of rows that are claimed for a certificate: answers to rows of the report bank are known."""
        meter = self.teacher.guard.meter
        if meter is None:
            with super().counting() as count:
                yield count
            return
        with meter.counted_as(CERTIFICATE) as needed:
            yield lambda: len(needed)

    def answer(self, z: Tensor) -> Tensor:
        """As ``Problem.answer``; only an attack asks here."""
        return self._with_known(z, self.banks["report"].values, super().answer)

    def file_outputs(self, z: Tensor) -> Tensor:
        """As ``Problem.file_outputs``."""
        return self._with_known(z, self._outputs["report"], super().file_outputs)

    def _with_known(self, z: Tensor, known: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """Outputs ``(n, O)`` at rows ``(n, D)``: the known ones ``(N, O)`` of rows of the report bank, and those asked for others."""
        place = {row.tobytes(): i for i, row in enumerate(self.banks["report"].z.cpu().numpy())}
        found = [place.get(row.tobytes()) for row in z.detach().cpu().numpy()]
        new = torch.tensor([i is None for i in found])
        outputs = known[[i or 0 for i in found]].clone()
        if bool(new.any()):
            outputs[new.to(outputs.device)] = ask(z[new.to(z.device)])
        return outputs

    def remember(self, key: str, folds: Sequence[Sequence[Tensor]]) -> None:
        """As ``Problem.remember``, for a committee in any process."""
        if self.students is not None:
            keep(self.student_file(key), folds)

    def committee(self, fold: int) -> list[tuple[Student, Sequence[Tensor]]]:
        """As ``Problem.committee``: ``finished``, where they trained for the fold."""
        return [(each.student, weights) for each in self.finished if (weights := each.weights(fold)) is not None]

    def student_file(self, key: str) -> Path:
        """The file of the weights of a finished student."""
        assert self.students is not None  # the folder of a study with a total
        return self.students / f"{key}{SUFFIX}"

    def held(self, name: str, student: ExportedStudent) -> tuple[Tensor, Tensor]:
        """Kept outputs of the teacher and outputs of an exported student on a bank; in the form of ``Problem.held``."""
        return self._outputs[name], outputs_of(student, self.inputs, self.banks[name].z)
