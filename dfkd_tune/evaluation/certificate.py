"""The certificate of a student: what was measured, how, and what that does and does not guarantee.

Only the certificate reads the report bank; training, pruning and selection never do. Every value compares the exported and reloaded
student with the teacher as its file loads, both on raw rows within the declared ranges. Values are in the teacher's units, or
*relative*: divided by each output's standard deviation of the teacher on the report bank.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.evaluation.attack import RADIUS, Answer, attack
from dfkd_tune.evaluation.guard import GuardReport, guard_report
from dfkd_tune.evaluation.measurements import Gaps, OutputReport, Report, WorstGap
from dfkd_tune.evaluation.regions import Region, regions
from dfkd_tune.evaluation.statement import statement
from dfkd_tune.inputs.summary import in_words, meaning
from dfkd_tune.students.drop_in import drop_in_pt2
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.distill import Outcome
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, outputs_of

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Certificate:
    """Everything that is certified of one student; a notebook shows it as a page.

        dt.load_result("pump").certificate.report.rmse

    Args:
        student: study, trial, run, recipe and hashes if known; parameters and compression.
        teacher: name, SHA-256, number of features and of outputs.
        inputs: metadata tier, its meaning, and the declaration of each feature.
        seed: seed of banks and attack.
        budget: numbers of steps and rows.
        report, worst, regions: the measurements; the worst region first.
        guard: what the guard that travels with the student does; None if it has none.
        statement: sentences ``holds`` and ``does_not_hold``.
        versions: versions of the packages that computed it.
        issued: time of issue, if known.
    """

    student: dict[str, Any]
    teacher: dict[str, Any]
    inputs: dict[str, Any]
    seed: int
    budget: dict[str, Any]
    report: Report
    worst: WorstGap
    regions: tuple[Region, ...]
    guard: GuardReport | None
    statement: dict[str, list[str]]
    versions: dict[str, str]
    issued: str | None

    def as_dict(self) -> dict[str, Any]:
        """The content of ``certificate.json``; each region also has its conditions as text."""
        plain = asdict(self) | {"format": 1}
        plain["regions"] = [{"where": str(region)} | asdict(region) for region in self.regions]
        return json.loads(json.dumps(plain, allow_nan=False))

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Certificate:
        """The certificate from the content of ``certificate.json``; raises ``ExportError`` if it is not one."""
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(dict(tree))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ExportError("certificate.json", f"is damaged at {place}: {first['msg']}") from None

    def __str__(self) -> str:
        """The statement, a sentence a line."""
        return "\n".join([*self.statement["holds"], "Not promised:", *self.statement["does_not_hold"]])

    def _repr_html_(self) -> str:
        """The statement, for a notebook."""
        sentences = "".join(f"<li>{escape(each)}</li>" for each in self.statement["holds"])
        limits = "".join(f"<li>{escape(each)}</li>" for each in self.statement["does_not_hold"])
        return f"<p>What holds</p><ul>{sentences}</ul><p>What is not promised</p><ul>{limits}</ul>"

    def metrics(self) -> dict[str, float]:
        """Metrics of the certificate for MLflow."""
        return {
            metric.CERTIFICATE_RMSE: self.report.rmse,
            metric.CERTIFICATE_NRMSE: self.report.relative_rmse,
            metric.CERTIFICATE_WORST_GAP: self.worst.gap,
            metric.CERTIFICATE_WORST_RELATIVE_GAP: self.worst.relative_gap,
        }


def certify(
    problem: Problem, student: nn.Module | ExportedStudent | Outcome, about: Mapping[str, Any] | None = None
) -> Certificate:
    """Evaluate one student on the report bank, attack it, and find its worst regions. The result is deterministic.

    Args:
        problem: teacher, inputs, seed and banks.
        student: a network in evaluation mode from raw rows ``(N, D)`` to raw outputs ``(N, O)``; an exported and reloaded
            student; or the outcome of a distillation, which is exported for this.
        about: ``steps``, ``batch``, ``training_rows`` (teacher queries for this student alone) and ``issued``; further
            entries such as ``study``, ``trial`` and ``run_id`` are added to the certificate's ``student``.

    Raises:
        ExportError: if an output of teacher or student on the report bank is not finite.
    """
    facts: dict[str, Any] = dict(about or {})
    if isinstance(student, Outcome):
        recipe = student.recipe
        known = {"steps": recipe.steps, "batch": recipe.batch, "training_rows": student.teacher_rows}
        facts = known | {"student_seed": student.seed} | facts
        student = _exported(problem, student)
    elif isinstance(student, nn.Module):
        student = ExportedStudent.of(student)
    bank = problem.banks["report"]
    theirs, ours = problem.held("report", student)
    gaps = ours - theirs
    if not bool(gaps.isfinite().all()):
        bad = int((~gaps.isfinite()).any(1).sum())
        raise ExportError(
            "certificate",
            f"student or teacher gives no finite output for {bad} of {len(gaps)} report rows",
            remedy="check the units and ranges in the features file",
        )
    unit = theirs.std(0)
    unit = torch.where(unit > 0, unit, 1.0)
    report = _report(gaps, unit, problem.output_names, problem.population)
    worst = _worst(problem, student, unit, (gaps / unit).abs().amax(1).to(problem.device))
    taken = ("steps", "batch", "training_rows", "issued")
    own, teacher = student.parameters, problem.teacher
    return Certificate(
        student={k: v for k, v in facts.items() if k not in taken}
        | {"parameters": own, "compression": teacher.parameters / own if teacher.parameters and own else None},
        teacher={
            "name": teacher.source.rsplit("/", 1)[-1] if ":" not in teacher.source else teacher.source,
            "sha256": teacher.sha256,
            "parameters": teacher.parameters,
            "features": problem.features,
            "outputs": problem.outputs,
            "differentiable": problem.probe.differentiable,
        },
        inputs={
            "tier": problem.inputs.tier,
            "meaning": meaning(problem.inputs),
            "features": problem.inputs.names,
            "declared": in_words(problem.inputs),
        },
        seed=problem.seed,
        budget={
            **{name: facts.get(name) for name in taken[:3]},
            "pool_rows": len(problem.pool),
            "report_rows": len(bank.z),
            "attack_rows": worst.teacher_rows,
        },
        report=report,
        worst=worst,
        regions=regions(problem.inputs, bank.z, gaps, unit),
        guard=guard_report(problem, gaps),
        statement=statement(problem.inputs.tier, report, worst),
        versions={name: importlib.metadata.version(name) for name in ("dfkd-tune", "torch", "scikit-learn")},
        issued=facts.get("issued"),
    )


def _exported(problem: Problem, outcome: Outcome) -> ExportedStudent:
    """The student of a distillation, exported and reloaded."""
    dtype = problem.encoder.encoding.torch_dtype
    module = problem.module(outcome.recipe.student, outcome.weights)
    layout = problem.inputs.layout
    written = drop_in_pt2(module, problem.inputs.raw(problem.sample.z[:2], dtype), layout)
    copy = torch.export.load(io.BytesIO(written)).module()
    if layout is None:
        return ExportedStudent(copy, dtype, outcome.parameters)
    return ExportedStudent(layout.flat(copy), layout.dtype, outcome.parameters)


def _normalized(problem: Problem, student: ExportedStudent) -> Answer:
    """An exported student as a function from standardized rows to normalized outputs, on the distillation's device."""

    def answer(z: Tensor) -> Tensor:
        y = student.answer(problem.inputs.raw(z.cpu(), student.dtype)).to(z.device)
        y = y[:, None] if y.ndim == 1 else y
        return ((y - problem.shift) / problem.spread).to(problem.dtype)

    return answer


def _report(gaps: Tensor, spread: Tensor, names: Sequence[str], population: int | None) -> Report:
    """The report from gaps ``(N, O)`` and spread ``(O,)`` in the teacher's units, names of the outputs, and ``Report.population``."""
    rows, square = len(gaps), gaps.square()
    per_row = square.mean(1)
    mean, error = float(per_row.mean()), 1.96 * float(per_row.std()) / math.sqrt(rows)
    relative = float((gaps / spread).square().mean())
    outputs = []
    for o, size in enumerate(square.mean(0).sqrt().tolist()):
        unit = float(spread[o])
        share, apart = size / unit, _quantiles(gaps[:, o].abs())
        outputs.append(OutputReport(o, names[o], unit, size, share, 1 - share**2, apart))
    return Report(
        rows=rows,
        rmse=math.sqrt(mean),
        interval=(math.sqrt(max(0.0, mean - error)), math.sqrt(mean + error)),
        relative_rmse=math.sqrt(relative),
        r2=1 - relative,
        relative_gaps=_quantiles((gaps / spread).abs().amax(1)),
        # N independent rows all miss a share s of the prior with probability (1 - s)^N, set to 0.05.
        beyond_largest=1 - (1 - CONFIDENCE) ** (1 / rows),
        by_output=tuple(outputs),
        population=population,
    )


def _quantiles(gaps: Tensor) -> Gaps:
    ordered = gaps.sort().values
    at = [ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95, 0.99, 1.0)]
    return Gaps(*(float(value) for value in at))


def _worst(problem: Problem, student: ExportedStudent, unit: Tensor, gaps: Tensor) -> WorstGap:
    """The worst gap found; ``unit (O,)`` is each output's spread in the teacher's units, ``gaps (N,)`` are relative gaps."""
    scale = (unit / problem.spread.double().cpu()).to(problem.device, problem.dtype)
    with problem.counting() as asked:
        found = attack(problem, _normalized(problem, student), scale, gaps)
        ends = torch.stack([found.z, found.origin])
        theirs = problem.file_outputs(ends)[0]
    ours = outputs_of(student, problem.inputs, ends)[0]
    relative = (ours - theirs).abs() / unit
    output = int(relative.argmax())
    raw = problem.inputs.raw(ends.cpu(), problem.teacher.dtype).tolist()  # the dtype in which the teacher was queried
    names, moved = problem.inputs.names, problem.inputs.present(found.z - found.origin).tolist()
    return WorstGap(
        gap=float((ours - theirs).abs()[output]),
        relative_gap=float(relative[output]),
        output=output,
        output_name=problem.output_names[output],
        teacher=tuple(theirs.tolist()),
        student=tuple(ours.tolist()),
        input=_named(problem, raw[0]),
        origin=_named(problem, raw[1]),
        moved=dict(zip(names, moved, strict=True)),
        distance=max(map(abs, moved)),
        radius=RADIUS,
        method=found.method,
        starts=found.starts,
        teacher_rows=asked(),
        unanswered=found.unanswered,
    )


def _named(problem: Problem, row: list[float]) -> dict[str, float | str | None]:
    """Values of a raw row by feature name: text for text levels, None for a missing value."""
    named: dict[str, float | str | None] = {}
    for feature, value in zip(problem.inputs.features, row, strict=True):
        number = None if math.isnan(value) else value
        named[feature.name] = feature.labels[int(value)] if feature.labels and number is not None else number
    return named
