"""Read a study file strictly as a ``StudySpec``. Every key but ``teacher`` is optional; an unknown key is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dfkd_tune.errors import SpecError
from dfkd_tune.locations.paths import NAME
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.optuna_kinds import AUTO, PRUNERS, SAMPLERS, Choice, read_choice
from dfkd_tune.search.space import domains, fixing
from dfkd_tune.teachers.sources import is_file
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.given import totals
from dfkd_tune.utils.given.durations import seconds
from dfkd_tune.utils.given.shares import part, share
from dfkd_tune.utils.object_reference import importable_from
from dfkd_tune.utils.quoting import named, quoted
from dfkd_tune.utils.strategy import build, strategy

POPULATION = 8
"""Number of trials that train at once, unless the study file or a calibration sets it."""

BANK = 8_000
"""Rows of each evaluation bank, unless the study file sets them."""


def _study_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("must be letters, digits, '_', '.', '-' and start with a letter or digit (100 at most)")
    return name


TYPICAL_SIZES = 7
"""Number of smaller sizes that are tried for a student of some dozens of units."""


@strategy
class StudySection:
    """``study:`` its name, its length and its objective.

    Args:
        name: name of the study, its MLflow experiment and its parent run; by default the file's name.
        trials: number of trials in total, also after a resume.
        seed: seed of all random numbers. Where it is given, trials run in rounds, which are the same on every machine; otherwise 0 seeds
            banks and students, and which trials there are depends on the machine.
        objective: ``robust``: weighted geometric mean of ``nrmse`` on the selection and stress banks; ``rmse``: in the
            teacher's units, on the selection bank; ``nrmse``: the same over the standard deviation of each output.
        population: number of trials that train at the same time; by default 8 with a seed, else chosen for this
            machine.
        leaders: number of best trials that are run again at the end.
        reruns: number of re-runs per such trial, with new seeds; 0 promotes the best trial without re-runs.
        pareto: second objective: ``parameters``, or ``latency`` of one row on this machine; no trial is pruned then.
        runtime: what the student's latency is measured in, with ``pareto: latency``: ``PyTorch``, ``pt2``, ``onnxruntime``, ``C`` or
            ``C without libm``, as ``dfkd-tune latency`` has them; by default plain PyTorch.
        timeout: time after the start of a session from which none of its workers begins a trial, in seconds or as ``90s``,
            ``30m`` or ``2h``; those that run end, and the study is concluded with what is there. The same command goes on with
            the rest.
        within: how much larger the objective of the promoted student may be than the best, such as ``5%`` or 0.05: the students of
            the best recipe are pruned and trained on, and the smallest that keeps it is promoted. Without it, the best is promoted.
    """

    name: Annotated[str, AfterValidator(_study_name)] | None = None
    trials: Annotated[int, Field(ge=1, le=10**6)] = 100
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    objective: Literal["robust", "rmse", "nrmse"] = "robust"
    population: Annotated[int, Field(ge=1, le=4096)] | None = None
    leaders: Annotated[int, Field(ge=1, le=100)] = 3
    reruns: Annotated[int, Field(ge=0, le=100)] = 2
    pareto: Literal["parameters", "latency"] | None = None
    runtime: Literal["PyTorch", "pt2", "onnxruntime", "C", "C without libm"] | None = None
    timeout: Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)] | None = None
    within: Annotated[float, Field(lt=1), BeforeValidator(share, json_schema_input_type=float | str)] | None = None

    @property
    def pruned_students(self) -> int:
        """About how many pruned students are trained in search of the smallest one; 0 without that search."""
        return 0 if self.within is None else (self.reruns + 1) * TYPICAL_SIZES

    @property
    def smaller_runs(self) -> int:
        """The same with the students that are pruned, which are trained first."""
        return 0 if self.within is None else self.pruned_students + self.reruns + 1


@strategy
class TeacherSection:
    """``teacher:`` a path or ``package.module:function``, or a mapping.

    Args:
        path: path or URI of the model, or ``package.module:function``.
        architecture: path of the architecture file, for files that hold only weights.
    """

    path: Annotated[str, Field(min_length=1)]
    architecture: str | None = None


@strategy
class StudentSection:
    """``student:`` the size limit of a student; give at most one key.

    Args:
        max_parameters: largest number of parameters.
        compression: smallest ratio of the teacher's parameters to the student's.
    """

    max_parameters: Annotated[int, Field(ge=1)] | None = None
    compression: Annotated[float, Field(gt=1)] | None = None

    def __post_init__(self) -> None:
        if self.max_parameters is not None and self.compression is not None:
            raise ValueError("max_parameters and compression exclude each other")

    def parameters(self, teacher_parameters: int | None) -> int | None:
        """The limit as a number of parameters; None for no limit.

        Raises:
            SpecError: ``compression`` is given, but the teacher's parameters cannot be counted.
        """
        if self.compression is None:
            return self.max_parameters
        if teacher_parameters is None:
            raise SpecError(
                "student.compression", "this teacher's parameters cannot be counted", remedy="give max_parameters"
            )
        return int(teacher_parameters / self.compression)


@strategy
class Budget:
    """``budget:`` the training budget.

    Args:
        steps: number of updates of a finished student, and of the baseline.
        trial_share: share of these steps that a trial trains, such as ``25%`` or 0.25. The best recipes are trained again with all of
            them. By default a quarter, within a total number of queries half, and at least 1,000 steps; all where students of trials
            are results themselves (``reruns: 0``, ``pareto``).
        batch: rows per update.
        pool: number of prior rows whose teacher outputs all trials share; by default chosen by the teacher's speed.
        bank: number of rows in each evaluation bank.
        teacher_rows: largest number of teacher queries per trial, in rows, besides pool and banks; no limit by default.
        total_queries: largest number of teacher queries of the whole study, in rows: banks, trials, re-runs, certificate and
            later sessions, by any number of workers. The rows are asked in rounds, and all trials train on all of them; ``pool``,
            ``bank`` and ``teacher_rows`` do not apply. A later session may raise it. No limit by default.
    """

    steps: Annotated[int, Field(ge=1, le=10**9)] = 20_000
    trial_share: (
        Annotated[float, Field(gt=0, le=1), BeforeValidator(part, json_schema_input_type=float | str)] | None
    ) = None
    batch: Annotated[int, Field(ge=2, le=10**6, multiple_of=2)] = 100
    pool: Annotated[int, Field(ge=100, le=10**8)] | None = None
    bank: Annotated[int, Field(ge=100, le=10**8)] = BANK
    teacher_rows: Annotated[int, Field(ge=1, le=10**12)] | None = None
    total_queries: Annotated[int, Field(ge=totals.LEAST, le=totals.MOST)] | None = None

    def __post_init__(self) -> None:
        given = {"teacher_rows": self.teacher_rows, "pool": self.pool, "bank": None if self.bank == BANK else self.bank}
        if self.total_queries is not None and (others := [name for name, value in given.items() if value is not None]):
            other = others[0]
            raise ValueError(f"total_queries and {other} exclude each other; leave {other} out")


@dataclass(frozen=True)
class StudySpec:
    """The content of a study file.

    Args:
        study, teacher, student, budget: the sections of the file.
        features: path of the features file, or None.
        preset: name of the recipe for leaves that are neither fixed nor searched; None for the default of the kind of
            teacher.
        fixed: leaf -> value for every trial, as written.
        search: leaf -> choices or range, as written; None for the default space.
        place: name of the file, for messages.
        seeded: whether a seed was given; every machine then runs the same trials.
        sampler, pruner: which trials are tried, and which are stopped early.
    """

    study: StudySection
    teacher: TeacherSection
    features: str | None
    student: StudentSection
    budget: Budget
    preset: str | None
    fixed: Mapping[str, Any]
    search: Mapping[str, Any] | None
    place: str
    seeded: bool = False
    sampler: Choice = Choice()  # noqa: RUF009  # frozen
    pruner: Choice = Choice()  # noqa: RUF009

    @property
    def name(self) -> str:
        if self.study.name is not None:
            return self.study.name
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(self.place).stem)
        return stem.lstrip("_.-")[:100] or "study"

    def recipe(self, default: Recipe) -> Recipe:
        """The preset, or ``default`` if none is named, with this study's budget."""
        preset, budget = PRESETS[self.preset] if self.preset else default, self.budget
        return replace(preset, steps=budget.steps, batch=budget.batch, teacher_rows=budget.teacher_rows)


PARTS = {"study": StudySection, "student": StudentSection, "budget": Budget}
KEYS = (
    "study",
    "teacher",
    "features",
    "student",
    "budget",
    "preset",
    "sampler",
    "pruner",
    *(s for s in SECTIONS if s != "student"),
    "search",
)
LIMITS = {field.name for field in fields(StudentSection)}
"""Keys of ``student:`` that limit its size and are not fields of the student."""


def read_spec(path: Path) -> StudySpec:
    """Read a study file. Paths in it are relative to its folder, and modules in that folder can be imported.

    Raises:
        SpecError: the file is invalid; the message names place, rule, value and remedy.
    """
    path = Path(path)
    return spec_beside(path, yaml_io.read(path, SpecError))


def spec_beside(path: Path, tree: Any) -> StudySpec:
    """The same of a file whose YAML was read before."""
    spec = parse_spec(tree, str(path))
    importable_from(path.parent)
    local = replace(
        spec.teacher, path=_beside(path, spec.teacher.path), architecture=_beside(path, spec.teacher.architecture)
    )
    return replace(spec, teacher=local, features=_beside(path, spec.features))


def parse_spec(tree: Any, place: str) -> StudySpec:
    """Build a spec from the parsed YAML of a study file.

    Raises:
        SpecError: the tree is invalid; the message names place, rule, value and remedy.
    """
    if not isinstance(tree, Mapping):
        raise SpecError(
            place, f"must be a mapping, got {quoted(tree)}", remedy="teacher: model.pt2 is the shortest study"
        )
    for key in tree:
        if key not in KEYS and not _is_leaf(key):
            raise SpecError(f"{place}: {named(key)}", "unknown key", remedy=f"known keys: {', '.join(KEYS)}")
    if tree.get("teacher") is None:
        raise SpecError(
            f"{place}: teacher", "required, but not given", remedy="name a model file or package.module:function"
        )
    fixed = _fixed(tree, place)
    limits = {**tree, "student": _limits(tree.get("student"))}
    parts = {key: _part(kind, limits.get(key), f"{place}: {key}") for key, kind in PARTS.items()}
    teacher = tree["teacher"]
    if isinstance(teacher, str):
        teacher = {"path": teacher}
    preset = tree.get("preset")
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise SpecError(f"{place}: preset", f"unknown preset {quoted(preset)}", remedy=f"known: {', '.join(PRESETS)}")
    features = tree.get("features")
    if features is not None and not isinstance(features, str):
        raise SpecError(f"{place}: features", f"must be a path, got {quoted(features)}")
    pruning = read_choice(tree.get("pruner"), PRUNERS, f"{place}: pruner")
    if parts["study"].pareto is not None and pruning.kind not in (AUTO, "none"):
        rule = f"{pruning.kind} cannot be kept with study.pareto, as Optuna prunes only with one objective"
        raise SpecError(f"{place}: pruner", rule, remedy="leave it out")
    search = tree.get("search")
    if search is not None:
        search = _flat(search, f"{place}: search")
        for leaf, domain in search.items():
            domains.domain(leaf, domain, f"{place}: search.{named(leaf)}")
    fixing.check_values(fixed, search, place)
    return StudySpec(
        teacher=_part(TeacherSection, teacher, f"{place}: teacher"),
        features=features,
        preset=preset,
        fixed=fixed,
        search=search,
        place=place,
        seeded="seed" in (tree.get("study") or {}),
        sampler=read_choice(tree.get("sampler"), SAMPLERS, f"{place}: sampler"),
        pruner=pruning,
        **parts,
    )


def as_tree(spec: StudySpec) -> dict[str, Any]:
    """The plain values of a spec, in the form that ``parse_spec`` reads; keys without a value are left out."""
    parts = {
        "study": _given(spec.study) | {"name": spec.name},
        "teacher": _given(spec.teacher),
        "student": _given(spec.student),
        "budget": _given(spec.budget),
    }
    for leaf, value in spec.fixed.items():
        section, _, field = leaf.partition(".")
        parts.setdefault(section, {})[field] = value
    rest = {"features": spec.features, "preset": spec.preset, "search": spec.search}
    rest |= {
        name: held.tree() for name, held in (("sampler", spec.sampler), ("pruner", spec.pruner)) if held != Choice()
    }
    return parts | {key: value for key, value in rest.items() if value is not None}


def _is_leaf(key: object) -> bool:
    return isinstance(key, str) and key.partition(".")[0] in SECTIONS and "." in key


def _limits(student: Any) -> Any:
    """The size limits in ``student:``."""
    return {k: v for k, v in student.items() if k in LIMITS} if isinstance(student, Mapping) else student


def _leaves(section: str) -> list[str]:
    """Every leaf that a section of a study file may have."""
    names = {each.name: None for _, kind in SECTIONS[section].usable() for each in fields(kind)}
    limits = [each.name for each in fields(StudentSection)] if section == "student" else []
    return [f"{section}.{name}" for name in (*limits, "kind", *names)]


def _fixed(tree: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The fixed leaves: of whole sections, of fields in ``student:``, and single ones such as ``bound.threshold``."""
    fixed: dict[str, Any] = {}
    for key, value in tree.items():
        if key in SECTIONS and value is not None:
            if not isinstance(value, Mapping):
                raise SpecError(
                    f"{place}: {key}", f"must be a mapping, got {quoted(value)}", remedy=f"{key}: {{kind: ...}}"
                )
            own = {field: held for field, held in value.items() if not (key == "student" and field in LIMITS)}
            leaves = {f"{key}.{field}": held for field, held in own.items()}
        else:
            leaves = {key: value} if _is_leaf(key) else {}
        for leaf, held in leaves.items():
            if leaf in fixed:
                raise SpecError(f"{place}: {named(leaf)}", "is given twice")
            if leaf not in (known := _leaves(leaf.partition(".")[0])):
                names = ", ".join(name.partition(".")[2] for name in known)
                raise SpecError(f"{place}: {named(leaf)}", "unknown key", remedy=f"known keys: {names}")
            fixed[leaf] = held
    return fixed


def _given(part: Any) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {name: value for name, value in values.items() if value is not None}


def _part(kind: type, values: Any, place: str) -> Any:
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise SpecError(
            place, f"must be a mapping, got {quoted(values)}", remedy=f"keys: {', '.join(f.name for f in fields(kind))}"
        )
    return build(kind, values, place)


def _flat(search: Any, place: str) -> dict[str, Any]:
    if not isinstance(search, Mapping):
        raise SpecError(
            place,
            f"must be a mapping of leaves, got {quoted(search)}",
            remedy="optimizer.lr: {low: 1e-4, high: 1e-2, log: true}",
        )
    flat: dict[str, Any] = {}
    for key, value in search.items():
        nested = key in SECTIONS and isinstance(value, Mapping)
        for leaf, inner in ((f"{key}.{field}", v) for field, v in value.items()) if nested else ((str(key), value),):
            if leaf in flat:
                raise SpecError(f"{place}.{named(leaf)}", "is given twice")
            flat[leaf] = inner
    return flat


def _beside(file: Path, path: str | None) -> str | None:
    if path is None or not is_file(path):
        return path
    return str(file.parent / path)
