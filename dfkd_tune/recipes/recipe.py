"""``Recipe``: the choices of one trial, and its two plain forms: a tree for YAML, flat leaves for Optuna and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.base import Generator
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.assistants import ASSISTANTS, NoAssistant
from dfkd_tune.recipes.base import (
    Assistant,
    Checkpoint,
    GapBound,
    Initializer,
    InputBound,
    Loss,
    Mixing,
    Optimizer,
    Refiner,
)
from dfkd_tune.recipes.checkpoints import CHECKPOINTS, Best
from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS, Unbounded
from dfkd_tune.recipes.initializers import INITIALIZERS, Random
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS, Steps
from dfkd_tune.recipes.losses import LOSSES, MSE
from dfkd_tune.recipes.mixing import ALPHAS, Decreasing
from dfkd_tune.recipes.optimizers import OPTIMIZERS, RMSprop
from dfkd_tune.recipes.refiners import REFINERS, NoRefiner
from dfkd_tune.students.base import Student
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.students.mlp import MLP
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.quoting import named, quoted
from dfkd_tune.utils.strategy import build, kind_of, name_of

SECTIONS: dict[str, Registry[Any]] = {
    "student": STUDENTS,
    "initializer": INITIALIZERS,
    "generator": GENERATORS,
    "bound": GAP_BOUNDS,
    "input_bound": INPUT_BOUNDS,
    "alpha": ALPHAS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "refiner": REFINERS,
    "checkpoint": CHECKPOINTS,
    "assistant": ASSISTANTS,
}
"""Section of a recipe -> the registry of its strategies, in the order in which a trial suggests them."""

PLAIN = ("steps", "batch", "teacher_rows")
"""Keys of a recipe that hold plain numbers."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True))
class Recipe:
    """How to distill one student.

        dt.PRESETS["faithful"].tree()

    Args:
        student, initializer, generator, bound, input_bound, alpha, loss, optimizer, refiner, checkpoint, assistant: strategies from
            the registries in ``SECTIONS``.
        steps: number of student steps.
        batch: rows in each step, half synthetic and half prior unless alpha is the constant 0 or 1.
        teacher_rows: most teacher rows that this trial may query, beyond those that all trials share. They are spent evenly over
            the steps; between queries the trial reuses synthetic rows with known outputs. None for no limit.
    """

    student: Student = Field(default_factory=MLP)
    initializer: Initializer = Field(default_factory=Random)
    generator: Generator = Field(default_factory=Direct)
    bound: GapBound = Field(default_factory=Unbounded)
    input_bound: InputBound = Field(default_factory=Steps)
    alpha: Mixing = Field(default_factory=Decreasing)
    loss: Loss = Field(default_factory=MSE)
    optimizer: Optimizer = Field(default_factory=RMSprop)
    refiner: Refiner = Field(default_factory=NoRefiner)
    checkpoint: Checkpoint = Field(default_factory=Best)
    assistant: Assistant = Field(default_factory=NoAssistant)
    steps: Annotated[int, Field(ge=1, le=10**9)] = 20_000
    batch: Annotated[int, Field(ge=2, le=10**6, multiple_of=2)] = 100
    teacher_rows: Annotated[int, Field(ge=1, le=10**12)] | None = None

    def __post_init__(self) -> None:
        for section, registry in SECTIONS.items():
            if registry.name_of(type(getattr(self, section))) is None:
                raise ValueError(f"{section} must be one of {', '.join(registry)}")

    def leaves(self) -> dict[str, Any]:
        """The recipe as flat leaves: ``{"generator.kind": "direct", "generator.steps": 2, ...}``."""
        flat: dict[str, Any] = {}
        for section, registry in SECTIONS.items():
            item = getattr(self, section)
            flat[f"{section}.kind"] = name_of(registry, item)
            flat |= {f"{section}.{field.name}": getattr(item, field.name) for field in fields(item)}
        limit = {} if self.teacher_rows is None else {"teacher_rows": self.teacher_rows}
        return flat | {"steps": self.steps, "batch": self.batch} | limit

    def tree(self) -> dict[str, Any]:
        """The recipe as nested plain values, as in its YAML file."""
        tree: dict[str, Any] = {}
        for leaf, value in self.leaves().items():
            section, _, field = leaf.rpartition(".")
            if section:
                tree.setdefault(section, {})[field] = value
            else:
                tree[leaf] = value
        return tree

    def with_student(self, **changes: Any) -> Recipe:
        """The recipe with fields of its student changed."""
        student = self.student
        assert is_dataclass(student)  # every strategy is one
        return replace(self, student=replace(student, **changes))


def from_tree(tree: Mapping[str, Any], place: str = "recipe", base: Recipe | None = None) -> Recipe:
    """A recipe from nested plain values; missing values come from ``base``.

    Raises:
        SpecError: if a key is unknown or a value invalid; the message names section, field, rule and value.
    """
    base = base or Recipe()
    if not isinstance(tree, Mapping):
        raise SpecError(place, f"must be a mapping, got {quoted(tree)}")
    for key in tree:
        if key not in SECTIONS and key not in PLAIN:
            known = ", ".join((*SECTIONS, *PLAIN))
            raise SpecError(f"{place}.{named(key)}", "unknown key", remedy=f"known keys: {known}")
    chosen: dict[str, Any] = {}
    for section, registry in SECTIONS.items():
        values = tree.get(section, {})
        if not isinstance(values, Mapping):
            raise SpecError(f"{place}.{section}", f"must be a mapping, got {quoted(values)}")
        item = getattr(base, section)
        kind = kind_of(registry, values.get("kind", name_of(registry, item)), f"{place}.{section}.kind")
        given = {key: value for key, value in values.items() if key != "kind"}
        kept = {f.name: getattr(item, f.name) for f in fields(item)} if kind is type(item) else {}
        chosen[section] = build(kind, kept | given, f"{place}.{section}", ("kind",))
    plain = {key: tree.get(key, getattr(base, key)) for key in PLAIN}
    return build(Recipe, chosen | plain, place)


def from_leaves(leaves: Mapping[str, Any], place: str = "recipe", base: Recipe | None = None) -> Recipe:
    """A recipe from the flat leaves of ``Recipe.leaves``; missing values come from ``base``."""
    tree: dict[str, Any] = {}
    for leaf, value in leaves.items():
        section, _, field = leaf.rpartition(".")
        if section:
            tree.setdefault(section, {})[field] = value
        else:
            tree[leaf] = value
    return from_tree(tree, place, base)
