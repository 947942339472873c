"""Compare a recorded student with its teacher on a table of real rows, once, at the end. It chooses nothing."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import FeaturesError
from dfkd_tune.evaluation.regions import Region, regions
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.domain.rule import in_domain
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.registry.register import evaluator_of
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.registry.versions import models_of
from dfkd_tune.tables.read import Reading, Table, read_table
from dfkd_tune.tracking.connection import open_client
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.raw_evaluation import CHUNK_ROWS
from dfkd_tune.utils.quoting import quoted

if TYPE_CHECKING:
    from mlflow.entities import Run

WORST_ROWS = 5
LEAST_ROWS = 40
"""Smallest table that is split into regions."""
SHARES = (0.5, 0.95, 0.99)
FOLDER = "evaluation"
"""Artifact folder of the evaluations of a student, on its run."""


@dataclass(frozen=True)
class OutputOnRows:
    """One output on the table, in its units.

    Args:
        name: its name.
        rmse, nrmse, r2: RMSE to the teacher, over the teacher's standard deviation on these rows, and the R2; None where the teacher
            does not vary.
        quantiles: gaps that 50, 95 and 99 % of the rows stay within.
        student_rmse, teacher_rmse: RMSE of both to the table's own column; None without one.
    """

    name: str
    rmse: float
    nrmse: float | None
    r2: float | None
    quantiles: tuple[float, ...]
    student_rmse: float | None
    teacher_rmse: float | None


@dataclass(frozen=True)
class Drift:
    """How a feature of the table differs from its declaration.

    Args:
        feature: its name.
        shift: mean of the table minus that of the prior, in standard deviations of the prior; None of unordered levels.
        spread: standard deviation of the table over that of the prior.
        missing: share of the rows in which it is missing.
    """

    feature: str
    shift: float | None
    spread: float | None
    missing: float


@dataclass(frozen=True)
class OnRows:
    """A student on a table of real rows. It holds no value of a row.

    Args:
        table, sha256, rows: name, hash and number of rows of the table.
        rmse, nrmse, r2, worst_gap: over rows and outputs, in the teacher's units; ``nrmse`` and ``r2`` are None where an output does not vary.
        outputs: each output.
        worst: ``(row, gap)`` of the rows of the file with the largest gap, counted from 0; gaps are relative where the teacher varies.
        regions: where the gaps are largest, the worst first.
        drift: each feature, those that differ most first.
        in_domain: share of the rows that the declared inputs may have; None of a student without a guard.
        inside, outside: RMSE on these rows and on the others; None where there are none.
        notes: how the table was read, where that is not plain, such as the number of rows that were left out.
    """

    table: str
    sha256: str
    rows: int
    rmse: float
    nrmse: float | None
    r2: float | None
    worst_gap: float
    outputs: tuple[OutputOnRows, ...]
    worst: tuple[tuple[int, float], ...]
    regions: tuple[Region, ...]
    drift: tuple[Drift, ...]
    in_domain: float | None
    inside: float | None
    outside: float | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The content of its file; each region also has its conditions as text."""
        plain = asdict(self)
        plain["regions"] = [{"where": str(region)} | asdict(region) for region in self.regions]
        return json.loads(json.dumps(plain, allow_nan=False))

    def metrics(self) -> dict[str, float]:
        """Its metrics for MLflow."""
        found = {
            metric.EVALUATION_RMSE: self.rmse,
            metric.EVALUATION_NRMSE: self.nrmse,
            metric.EVALUATION_R2: self.r2,
            metric.EVALUATION_WORST_GAP: self.worst_gap,
            metric.EVALUATION_IN_DOMAIN: self.in_domain,
        }
        return {name: value for name, value in found.items() if value is not None}


def evaluate_rows(
    uri: str, study: str, trial: int | None, file: Path, reading: Reading, targets: Sequence[str], sources: Sources
) -> OnRows:
    """Evaluate a recorded student on a table, and log that to its run and its logged models.

    Args:
        uri, study, trial: MLflow tracking URI, study, and number of the trial; None for the promoted student.
        file, reading: the table, and how it is read. Columns that are neither features nor targets are not.
        targets: columns with the true outputs, in the order of the outputs; empty without them.
        sources: current paths of teacher and features, if they have moved.

    Raises:
        NotFound: the student or its teacher is not there.
        FeaturesError: the table cannot be read, or lacks a column or holds values that the student does not take.
    """
    module, result, run = load_trial(uri, study, trial)
    table = read_table(file, replace(reading, only={*result["features"], *targets}))
    evaluator, units = evaluator_of(uri, study, run, sources, "an evaluation"), InputSchema.of(result)
    inputs, teacher = evaluator.inputs, replace(evaluator.teacher, fast=None)
    x = raw_rows(file, table, inputs)
    truth = targets_of(file, table, targets, int(result["outputs"])) if targets else None
    with torch.no_grad():
        theirs = torch.cat([teacher(part.to(teacher.dtype)).double() for part in x.split(CHUNK_ROWS)])
        ours = torch.cat([module(part.to(units.encoding.torch_dtype)).double() for part in x.split(CHUNK_ROWS)])
    if not bool((ours - theirs).isfinite().all()):
        row = int((~(ours - theirs).isfinite()).any(1).int().argmax())
        raise FeaturesError(
            file, f"teacher or student gives no finite output for row {row_of(table, row)}", remedy="check its units"
        )
    names = teacher.output_names(theirs.shape[1])
    known = hashlib.sha256(file.read_bytes()).hexdigest()
    found = compare(file.name, known, inputs, x, theirs, ours, names, truth, units.domain)
    worst = tuple((row_of(table, row), gap) for row, gap in found.worst)
    found = replace(found, worst=worst, notes=table.notes)
    _log(uri, run, found)
    return found


def row_of(table: Table, row: int) -> int:
    """Number in the file of a row of its table, counted from 0 below the names."""
    return row if table.rows is None else int(table.rows[row])


def raw_rows(file: Path, table: Table, inputs: Inputs) -> Tensor:
    """The features of a table as raw rows ``(N, D)``, float64: codes for words, NaN for what is missing.

    Raises:
        FeaturesError: a column is not there, or holds words, levels or gaps that are not declared.
    """
    columns, found = dict(zip(table.names, table.columns.T, strict=True)), []
    if missing := [name for name in inputs.names if name not in columns]:
        raise FeaturesError(
            file, f"has no column {missing[0]!r}", remedy=f"name its columns as the features, {len(inputs)} of them"
        )
    for feature in inputs.features:
        values = torch.tensor(columns[feature.name], dtype=torch.float64)
        words, labels = table.words.get(feature.name), feature.labels
        place = f"{file}: column {feature.name!r}"
        if words is not None and labels is None:
            raise FeaturesError(place, "holds words, and its feature is a number", remedy="give numbers")
        if labels is not None:
            codes = {label: float(code) for code, label in enumerate(labels) if label is not None}
            texts = (
                words
                if words is not None
                else [f"{value:.15g}" for value in sorted({*values[~values.isnan()].tolist()})]
            )
            if unknown := [text for text in texts if text not in codes]:
                raise FeaturesError(place, f"holds {quoted(unknown[0])}, which is no level", remedy="declare it")
            keys = range(len(texts)) if words is not None else map(float, texts)
            coded = {float(key): codes[text] for key, text in zip(keys, texts, strict=True)}
            values = torch.tensor([coded.get(value, math.nan) for value in values.tolist()], dtype=torch.float64)
        optional = feature.missing is not None or any(map(math.isnan, feature.table if feature.levels else []))
        if not optional and bool(values.isnan().any()):
            row = int(values.isnan().int().argmax())
            raise FeaturesError(
                place,
                f"misses a value in row {row_of(table, row)}",
                remedy="the student takes none there: give --missing drop",
            )
        found.append(values)
    return torch.stack(found, dim=1)


def targets_of(file: Path, table: Table, targets: Sequence[str], outputs: int) -> Tensor:
    """The true outputs ``(N, O)``.

    Raises:
        FeaturesError: there are not as many as the student has, or a column is not there, holds words or misses a value.
    """
    if len(targets) != outputs:
        raise FeaturesError(
            "--target",
            f"must be given once for each output, {outputs}, got {len(targets)}",
            remedy="name their columns, in the order of the outputs",
        )
    for name in targets:
        if name not in table.names or name in table.words:
            raise FeaturesError(file, f"has no column of numbers {name!r}", remedy="name one with --target")
    found = torch.from_numpy(table.columns[:, [table.names.index(name) for name in targets]].copy())
    if bool((gaps := found.isnan()).any()):
        row, output = (int(each) for each in gaps.nonzero()[0])
        place = f"{file}: column {targets[output]!r}"
        raise FeaturesError(place, f"misses a value in row {row_of(table, row)}", remedy="give --missing drop")
    return found


def compare(
    name: str,
    sha256: str,
    inputs: Inputs,
    x: Tensor,
    theirs: Tensor,
    ours: Tensor,
    names: Sequence[str],
    truth: Tensor | None,
    domain: Any,
) -> OnRows:
    """The figures of a comparison.

    Args:
        name, sha256: name and hash of the table.
        inputs: the declared inputs.
        x: raw rows ``(N, D)``.
        theirs, ours, truth: outputs ``(N, O)`` of teacher, student and the table itself.
        names: names of the outputs.
        domain: the student's domain, if it has one.
    """
    gaps, spread = ours - theirs, theirs.std(0, correction=0)
    varies = bool((spread > 0).all())
    unit = torch.where(spread > 0, spread, 1.0)
    relative = (gaps / unit).abs()
    nrmse = float(relative.square().mean().sqrt()) if varies else None
    order = relative.amax(1).argsort(descending=True)[:WORST_ROWS].tolist()
    inside = None if domain is None else torch.from_numpy(in_domain(domain, x.numpy()))
    z = inputs.standardized(x)
    return OnRows(
        table=name,
        sha256=sha256,
        rows=len(x),
        rmse=_rms(gaps) or 0.0,
        nrmse=nrmse,
        r2=None if nrmse is None else 1 - nrmse**2,
        worst_gap=float(gaps.abs().max()),
        outputs=tuple(
            _output(names[o], gaps[:, o], float(spread[o]), *_errors(o, theirs, ours, truth)) for o in range(len(names))
        ),
        worst=tuple((row, float(relative[row].max())) for row in order),
        regions=regions(inputs, z, gaps, unit) if len(x) >= LEAST_ROWS else (),
        drift=_drift(inputs, x, z),
        in_domain=None if inside is None else float(inside.double().mean()),
        inside=None if inside is None else _rms(gaps[inside]),
        outside=None if inside is None else _rms(gaps[~inside]),
    )


def _errors(o: int, theirs: Tensor, ours: Tensor, truth: Tensor | None) -> tuple[float | None, float | None]:
    return (None, None) if truth is None else (_rms(ours[:, o] - truth[:, o]), _rms(theirs[:, o] - truth[:, o]))


def _output(name: str, gaps: Tensor, spread: float, student: float | None, teacher: float | None) -> OutputOnRows:
    rmse, quantiles = _rms(gaps) or 0.0, np.quantile(gaps.abs().numpy(), SHARES).tolist()  # PyTorch refuses many rows
    share = rmse / spread if spread > 0 else None
    return OutputOnRows(name, rmse, share, None if share is None else 1 - share**2, tuple(quantiles), student, teacher)


def _drift(inputs: Inputs, x: Tensor, z: Tensor) -> tuple[Drift, ...]:
    found = []
    for i, name in enumerate(inputs.names):
        known, missing = z[:, i][~x[:, i].isnan()], float(x[:, i].isnan().double().mean())
        ordered = i not in inputs.nominal and len(known) > 1
        shift, spread = (float(known.mean()), float(known.std())) if ordered else (None, None)
        found.append(Drift(name, shift, spread, missing))
    return tuple(sorted(found, key=_size, reverse=True))


def _size(drift: Drift) -> float:
    """How much a feature differs: its shift, or the logarithm of its spread."""
    if drift.shift is None or drift.spread is None:
        return 0.0
    return max(abs(drift.shift), abs(math.log(max(drift.spread, 1e-9))))


def _rms(values: Tensor) -> float | None:
    return float(values.square().mean().sqrt()) if len(values) else None


def _log(uri: str, run: Run, found: OnRows) -> None:
    """Put the figures on a student's run, and its metrics on its logged models, which registered versions are of."""
    from mlflow.entities import Metric

    client, at, run_id = open_client(uri), int(time.time() * 1000), run.info.run_id
    client.log_dict(run_id, found.as_dict(), f"{FOLDER}/{found.sha256[:12]}.json")
    about = {"dataset_name": found.table, "dataset_digest": found.sha256[:8]}
    places: list[dict[str, Any]] = [
        about | {"model_id": each.model_id, "run_id": run_id} for each in models_of(client, run)
    ]
    points = [
        Metric(name, value, at, 0, **place) for name, value in found.metrics().items() for place in places or [{}]
    ]
    client.log_batch(run_id, points)
