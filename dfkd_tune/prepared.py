"""A study before it starts: files read, teacher probed, space made, and what a resume must agree with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .features_file import read_features
from .imports import MODULE_PATH
from .inputs import Inputs
from .places import without_credentials
from .problem import Problem
from .recipe import Recipe, baseline
from .space import Space, make_space
from .spec import StudySpec
from .teachers import SCHEMES, Probe, Teacher, load_teacher, probe
from .teachers.probe import infer_width


@dataclass(frozen=True)
class Prepared:
    """A spec whose files were read and whose teacher answered its probe; nothing is written yet."""

    spec: StudySpec
    teacher: Teacher
    inputs: Inputs
    probe: Probe
    space: Space

    def problem(self, pool_rows: int) -> Problem:
        """Draw pool and banks."""
        return Problem(
            self.teacher,
            self.inputs,
            self.probe,
            seed=self.spec.study.seed,
            pool_rows=pool_rows,
            bank_rows=self.spec.budget.bank,
        )

    def baseline(self) -> Recipe:
        """The untuned method that the study is compared with, at its budget and the largest student it allows."""
        budget = self.spec.budget
        recipe = replace(baseline(self.probe.differentiable), steps=budget.steps, batch=budget.batch)
        if self.space.max_parameters is None:
            return recipe
        return recipe.with_student(width=self.space.widest(recipe.student))

    def identity(self) -> dict[str, Any]:
        """What a resumed study must agree with."""
        return {
            "teacher": self.teacher.sha256,
            "features": self.inputs.fingerprint(),
            "objective": self.spec.study.objective,
            "seed": self.spec.study.seed,
            "bank": self.spec.budget.bank,
            "space": self.space.describe(),
        } | ({"pareto": self.spec.study.pareto} if self.spec.study.pareto else {})

    def params(self, pool_rows: int) -> dict[str, Any]:
        """What the parent run is logged with."""
        spec, found = self.spec, self.probe
        return {
            "teacher": Path(spec.teacher.path).name,
            "features": found.features,
            "outputs": found.outputs,
            "objective": spec.study.objective,
            "seed": spec.study.seed,
            "steps": spec.budget.steps,
            "batch": spec.budget.batch,
            "pool": pool_rows,
            "bank": spec.budget.bank,
            "preset": spec.preset or "default",
            "max_parameters": self.space.max_parameters,
        }

    def tags(self) -> dict[str, Any]:
        """What the parent run is tagged with; with its parameters, enough to find teacher and inputs again."""
        spec = self.spec
        files = {
            "dfkd.teacher": spec.teacher.path,
            "dfkd.architecture": spec.teacher.architecture,
            "dfkd.features": spec.features,
        }
        return {name: located(path) for name, path in files.items() if path is not None} | {
            "dfkd.tier": self.inputs.tier,
            "dfkd.objective": self.spec.study.objective,
            "dfkd.teacher_sha256": self.teacher.sha256,
            "dfkd.features_sha256": self.inputs.fingerprint(),
        }


def prepare(spec: StudySpec, trust_pickle: bool = False) -> Prepared:
    """Read what a spec names and probe the teacher.

    Raises:
        DfkdError: the first thing that is wrong, in one line.
    """
    architecture = Path(spec.teacher.architecture) if spec.teacher.architecture else None
    teacher = load_teacher(spec.teacher.path, architecture, trust_pickle)
    inputs = read_features(Path(spec.features)) if spec.features else Inputs.unknown(infer_width(teacher))
    found = probe(teacher, inputs, spec.study.seed)
    limit = spec.student.parameters(teacher.parameters)
    recipe, size = spec.recipe(found.differentiable), (found.features, found.outputs)
    small = spec.study.pareto is not None
    space = make_space(recipe, spec.search, size, limit, f"{spec.place}: search", found.differentiable, small)
    return Prepared(spec, teacher, inputs, found, space)


def located(path: str) -> str:
    """A path that means the same from any directory, credentials left out; module paths and models of MLflow as they are."""
    named = MODULE_PATH.fullmatch(path) or path.startswith(SCHEMES)
    return without_credentials(path) if named else str(Path(path).resolve())


def difference(known: dict[str, Any], mine: dict[str, Any]) -> str:
    """The leaves in which two identities differ, as ``leaf: recorded -> asked for``."""
    a, b = _flatten(known), _flatten(mine)
    changed = [
        f"{leaf}: {_short(a.get(leaf))} -> {_short(b.get(leaf))}"
        for leaf in sorted(a.keys() | b.keys())
        if a.get(leaf) != b.get(leaf)
    ]
    return ", ".join(changed)


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value.keys() - {"low", "high", "log"}:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:12]}...{text[-4:]}"
