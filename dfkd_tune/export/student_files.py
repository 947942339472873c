"""The files of a student: safetensors and architecture for every trial, ``.pt2`` for exported and registered ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.inputs.feature import LARGEST_INTEGER
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.summary import in_short
from dfkd_tune.ops.pt2_archive import to_pt2
from dfkd_tune.teachers.base import hash_bytes
from dfkd_tune.teachers.data_frames import column_kinds
from dfkd_tune.teachers.formats.state_dict import architecture_of
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.training.distill import Outcome
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.seeding import stream

EXAMPLES, EXAMPLE_VALUES = 64, 4_096
"""Largest number of example rows of the declared prior stored beside a student, and of values in them."""
HASHES = "sha256.json"
"""File with the SHA-256 of all other files."""
NAMES = ("student.pt2", "student.safetensors", "architecture.yaml", "recipe.yaml", "result.json", HASHES)
"""All files that a student may have."""


def student_files(problem: Problem, outcome: Outcome, about: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of one student by path below ``student/``. The student maps raw rows to raw outputs.

    Args:
        problem: the problem that it was distilled on.
        outcome: the result of its distillation.
        about: further entries for ``result.json``, such as study and trial.
    """
    module = problem.module(outcome.recipe.student, outcome.weights)
    encoding = problem.encoder.encoding
    layout = outcome.recipe.student.layout(problem.columns, encoding, problem.outputs)
    result = {
        **about,
        "seed": outcome.seed,
        "tier": problem.inputs.tier,
        "teacher_sha256": problem.teacher.sha256,
        "features": problem.inputs.names,
        "center": encoding.center,
        "scale": encoding.scale,
        "dtype": encoding.dtype,
        "levels": levels(problem.inputs),
        "types": types(problem.inputs, column_kinds(problem.teacher)),
        "gapped": [problem.inputs.names[i] for i in problem.inputs.gapped],
        "declared": in_short(problem.inputs),
        "example": _example(problem),
        "domain": None if problem.domain is None else problem.domain.tree(),
        "outputs": problem.outputs,
        "form": problem.teacher.form.tree(),
        **({} if problem.inputs.layout is None else {"layout": problem.inputs.layout.tree()}),
        **outcome.metrics(),
    }
    described = (
        {"student/student.pt2": to_pt2(module, problem.inputs.raw(problem.sample.z[:2], encoding.torch_dtype))}
        if layout is None
        else {"student/architecture.yaml": yaml_io.dump(layout).encode()}
    )
    made = described | {
        "student/student.safetensors": save({k: v.contiguous() for k, v in module.state_dict().items()}),
        "student/recipe.yaml": yaml_io.dump(outcome.recipe.tree()).encode(),
        "student/result.json": json.dumps(result, indent=1).encode(),
    }
    return made | {f"student/{HASHES}": hashes({Path(name).name: data for name, data in made.items()})}


def hashes(contents: Mapping[str, bytes]) -> bytes:
    """Content of ``sha256.json``: the SHA-256 of every file, which ``verify`` checks."""
    return json.dumps({name: hash_bytes(data) for name, data in contents.items()}, indent=1).encode()


def verify(directory: Path, recorded: str | None = None) -> None:
    """Check that a student's files are unchanged since they were written; a student without hashes is not checked.

    Args:
        directory: directory of the files.
        recorded: SHA-256 of ``sha256.json`` as recorded in the student's run, if it is.

    Raises:
        ExportError: if a file is missing, truncated or altered; the message names it.
    """
    told, remedy = directory / HASHES, "dfkd-tune sync STUDY writes a run's files again"
    try:
        data = told.read_bytes() if told.exists() else None
        if recorded is not None and (data is None or hash_bytes(data) != recorded):
            raise ExportError(told.name, "is missing or altered: it is not what its run recorded", remedy=remedy)
        for name, digest in json.loads(data).items() if data is not None else ():
            file = directory / Path(name).name
            if not file.exists():
                raise ExportError(file.name, "is missing from the student's files", remedy=remedy)
            if (found := hash_bytes(file.read_bytes())) != digest:
                rule = f"is truncated or altered: SHA-256 {found[:12]}..., recorded {digest[:12]}..."
                raise ExportError(file.name, rule, remedy=remedy)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ExportError(told, f"cannot be read: {str(error).splitlines()[0]}") from None


def _example(problem: Problem) -> list[list[float | None]]:
    """Example inputs: rows of the declared prior in raw units, with null for a missing value. None of them is a real row."""
    count = max(2, min(EXAMPLES, EXAMPLE_VALUES // problem.features))
    rows = problem.inputs.raw(problem.inputs.draw(count, stream(problem.seed, "example"))).tolist()
    return [[None if math.isnan(value) else value for value in row] for row in rows]


def levels(inputs: Inputs) -> dict[str, list[float | str | None]]:
    """Unordered levels of each feature: the teacher's input values, or the texts that its codes stand for; null is a missing value."""
    found = {}
    for i in inputs.nominal:
        feature = inputs.features[i]
        numbers = [None if math.isnan(value) else value for value in feature.table]
        found[feature.name] = feature.labels or numbers
    return found


def types(inputs: Inputs, kinds: Mapping[str, str]) -> dict[str, str]:
    """Feature -> MLflow's type of its column in a user's table, if that is no ``string`` and no ``double``.

    A column is ``long`` if only whole numbers are declared and none may be missing, and ``boolean`` if these are 0 and 1 and the
    teacher takes truth values.

    Args:
        inputs: the declared inputs.
        kinds: name of a column -> the dtype that the teacher itself takes there, as far as it says.
    """
    if inputs.layout is not None:
        return {}
    found = {}
    for feature in inputs.features:
        kind = kinds.get(feature.name, "")
        if kind.startswith("float") or feature.missing is not None or feature.labels is not None:
            continue
        if feature.levels is None:
            whole = feature.integer
        else:
            whole = all(value.is_integer() and abs(value) <= LARGEST_INTEGER for value in feature.table)  # NaN is none
        if whole:
            truth = kind == "bool" and feature.levels is not None and {*feature.table} <= {0.0, 1.0}
            found[feature.name] = "boolean" if truth else "long"
    return found


def read_student(directory: Path, recorded: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Load a student and its ``result.json`` from the files of ``student_files``.

    Args:
        directory: directory of the files.
        recorded: SHA-256 of ``sha256.json`` as recorded in the student's run, if it is.

    Raises:
        ExportError: if a file is missing, truncated or altered.
    """
    verify(directory, recorded)
    try:
        if not (directory / "architecture.yaml").exists():
            result = json.loads((directory / "result.json").read_text())
            module = load_teacher(directory / "student.pt2").function
            assert isinstance(module, nn.Module)  # a ``.pt2`` file loads as a module
            return module, result
        state = load((directory / "student.safetensors").read_bytes())
        layout = yaml_io.read(directory / "architecture.yaml", ExportError)
        result = json.loads((directory / "result.json").read_text())
        module = architecture_of(layout, str(directory / "architecture.yaml")).module(state)
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(directory, f"holds no readable student: {str(error).splitlines()[0]}") from None
    return module.eval(), result
