"""Write the student of a recorded run as a file, and compare the reloaded file with the teacher."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import compared_rows, export, read_flat
from dfkd_tune.export.formats.base import Footprint
from dfkd_tune.export.formats.kinds import EXPORTS, chosen
from dfkd_tune.export.quantization import quantize
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.locations.files import require_place, write_output
from dfkd_tune.registry import certificates
from dfkd_tune.registry.exports.about_student import about_student
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.sources import is_file
from dfkd_tune.tracking.run_lookup import fetch, trial_of
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured, RawEvaluator, fresh_fidelity, shipped
from dfkd_tune.utils import yaml_io

if TYPE_CHECKING:
    from mlflow.entities import Run

ARCHITECTURE = "architecture.yaml"
"""The file of a run that describes the layers of a student whose file holds weights alone."""
MOST_OF_A_LINE = 4_096
"""Most characters that are read of a line of a user's file."""


@dataclass(frozen=True)
class Written:
    """A student's file.

    Args:
        found: fidelity of the file, reloaded, to the teacher on fresh rows; None if there was no teacher to compare it with.
        recorded: RMSE on the selection bank that training recorded.
        worst: largest difference between outputs of the file and of the network it was written from; None if they were not
            compared.
        examples: number of rows on which these two were compared.
        unread: why they were not compared; None if they were.
        footprint: bytes on other machines, by the machine's name.
    """

    found: Measured | None
    recorded: float
    worst: float | None
    examples: int
    unread: str | None
    footprint: Mapping[str, Footprint]


@dataclass(frozen=True)
class WrittenSmall(Written):
    """The file of a student with quantized weights; a certificate of its own lies beside it.

    Args:
        before, after: fidelity on the selection bank in float32 and with quantized weights.
        sizes: what takes memory -> its bytes, and those of float32: the file, or of a source the flash of each microcontroller,
            as far as it was measured.
    """

    before: Measured
    after: Measured
    sizes: Mapping[str, tuple[int, int]]

    @property
    def added(self) -> float:
        """Growth of the RMSE by quantization, of the output whose RMSE grows most; 0.01 is one percent."""
        pairs = [(each.rmse, self.after.by_output[name].rmse) for name, each in self.before.by_output.items()]
        return max(after / before - 1 if before else math.inf for before, after in pairs)


@dataclass(frozen=True)
class StudentExport:
    """A recorded student and the file that it becomes.

    Args:
        uri, study: MLflow tracking URI, and study of the run.
        student, result, run: the student, its ``result.json`` and its run (see ``stored_student.load_trial``).
        kind: name of the format, from ``formats.kinds.format_of``.
        file: path of the file.
        libm: whether the file may call functions of libm.
        guard: whether it says which rows are in the student's domain.
    """

    uri: str
    study: str
    student: nn.Module
    result: dict[str, Any]
    run: Run
    kind: str
    file: Path
    libm: bool = True
    guard: bool = False

    def write(self, evaluator: RawEvaluator | None) -> Written:
        """Write the file in float32, after its RMSE to the teacher was found to be the recorded one.

        Args:
            evaluator: teacher and banks of the study; without it, the file is compared with the student alone.

        Raises:
            ExportError: the file cannot be written, answers differently, or its RMSE is not the recorded one.
        """
        if evaluator is not None:
            self._spare(evaluator.teacher)
        layout, recorded = self._layout(), float(self.result[metric.RMSE])
        units, footprint = self._schema(self.student)

        def measure(exported: ExportedStudent) -> Measured | None:
            return None if evaluator is None else shipped(self.file, evaluator, exported, metric.by_output(self.result))

        worst, found = export(self.student, units, self.kind, self.file, measure, self.libm, self.guard)
        if layout is not None:
            write_output(self.file.with_suffix(".yaml"), layout)
        return Written(found, recorded, worst, *self._compared(units), footprint)

    def write_small(self, problem: Problem, precision: str, within: float) -> WrittenSmall:
        """Write the file with quantized weights, and a certificate beside it.

        Args:
            problem: problem of the study.
            precision: ``bf16`` or ``int8``.
            within: largest relative increase of the RMSE.

        Raises:
            ExportError: as ``write`` does, or the RMSE grows by more than ``within``; or the file cannot be read here, so that it could
                not be certified.
        """
        require_place(self.file)
        if (why := EXPORTS[self.kind].unread()) is not None:
            raise ExportError(f"--precision {precision}", f"a certificate is of the file as it was read: {why}")
        self._spare_companions()
        self._spare(problem.teacher)
        form, plain = EXPORTS[self.kind], InputSchema.of(self.result)
        small, before, after = quantize(problem.evaluator.fidelity, self.student, plain, precision, within)
        units, footprint = self._schema(small)

        def measure(exported: ExportedStudent) -> Measured:
            return fresh_fidelity(problem.evaluator, exported)

        worst, found = export(small, units, self.kind, self.file, measure, self.libm, self.guard)
        about = {
            "study": self.study,
            "trial": trial_of(self.run),
            "run_id": self.run.info.run_id,
            "precision": precision,
            "footprint": {name: asdict(each) for name, each in footprint.items()},
        }
        copy = read_flat(form, self.file.read_bytes(), self.student, units)
        certificates.beside(self.file, problem, units.student(copy, int(self.result[metric.PARAMETERS])), about)
        with tempfile.TemporaryDirectory() as folder:
            export(self.student, units, self.kind, Path(folder, self.file.name), None, self.libm, self.guard)
            usual = Path(folder, self.file.name).read_bytes()
        if form.holds_text:
            plainly = chosen(self.kind, self.libm, self.guard).footprint(usual)
            sizes = {f"flash of {name}": (each.flash, plainly[name].flash) for name, each in footprint.items()}
        else:
            sizes = {str(self.file): (self.file.stat().st_size, len(usual))}
        recorded = float(self.result[metric.RMSE])
        return WrittenSmall(found, recorded, worst, *self._compared(units), footprint, before, after, sizes)

    def _schema(self, module: nn.Module) -> tuple[InputSchema, Mapping[str, Footprint]]:
        """The schema of the inputs of a network that is to be written, with what a reader of its file wants to know of it; and the
        bytes that it takes on other machines."""
        units, form = InputSchema.of(self.result), EXPORTS[self.kind]
        if not form.holds_text:
            return units, {}
        form = chosen(self.kind, self.libm, self.guard)
        found = form.footprint(form.write(module, units))
        sizes = [f"{name}: {each}, without the library's functions." for name, each in found.items()]
        return replace(units, about=(*about_student(self.uri, self.study, self.run, self.result), *sizes)), found

    def _compared(self, units: InputSchema) -> tuple[int, str | None]:
        """Number of rows on which file and student were compared, and why they were not."""
        form = EXPORTS[self.kind]
        return len(compared_rows(form, units)), form.unread()

    def _spare(self, teacher: Teacher) -> None:
        """Check that the file is not the teacher's.

        Raises:
            ExportError: it is.
        """
        if is_file(teacher.source) and self.file.exists() and self.file.samefile(teacher.source):
            raise ExportError(self.file, "is the teacher of the study", remedy="choose another name")

    def _spare_companions(self) -> None:
        """Check that the files beside it replace none but those of an earlier export.

        Raises:
            ExportError: one would.
        """
        for suffix in EXPORTS[self.kind].companions:
            if (beside := self.file.with_suffix(suffix)).exists() and not self._is_earlier(beside):
                rule = f"needs {beside.name} beside it, where another file is"
                raise ExportError(self.file, rule, remedy="choose another name")

    def _is_earlier(self, beside: Path) -> bool:
        """Whether a file beside that of the student is of an earlier export of it."""
        if not (self.file.exists() and beside.is_file()):
            return False
        with beside.open(encoding="utf-8", errors="replace") as held:
            return EXPORTS[self.kind].companion_mark in held.readline(MOST_OF_A_LINE)

    def _layout(self) -> bytes | None:
        """The architecture file that a file of weights needs beside it; None for other formats.

        Raises:
            ExportError: the run has none, or a file of that name is there and is no architecture file.
        """
        require_place(self.file)
        self._spare_companions()
        if EXPORTS[self.kind].holds_graph:
            return None
        beside = self.file.with_suffix(".yaml")
        if beside.exists() and not (self.file.exists() and is_architecture(beside)):  # not of an earlier export
            rule = f"needs {beside.name} for its layers, where another file is"
            raise ExportError(self.file, rule, remedy="choose another name")
        with fetch(self.uri, self.run.info.run_id) as folder:
            if (layout := folder / ARCHITECTURE).exists():
                return layout.read_bytes()
        rule = f"would hold weights alone ({self.kind}), and no architecture file describes this student"
        raise ExportError(self.file, rule, remedy="take --format pt2 or onnx")


def is_architecture(file: Path) -> bool:
    """Whether a YAML file describes the layers of a network."""
    try:
        return isinstance(tree := yaml_io.read(file, ExportError), dict) and "layers" in tree
    except ExportError:
        return False
