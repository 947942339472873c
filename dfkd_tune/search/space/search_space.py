"""The search space of a study: which leaves of a recipe Optuna chooses, and from which domains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import product
from typing import Any

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.space import domains, fixing
from dfkd_tune.search.space.space import UNUSED, Size, Space, student_of
from dfkd_tune.utils.quoting import named
from dfkd_tune.utils.strategy import name_of

DEFAULT: dict[str, Any] = {
    "initializer.surplus": [0.1, 0.2, 0.3],
    "generator.kind": ["gaussian", "heavy_tailed", "skewed", "adversarial", "direct"],
    "generator.spread": {"low": 0.3, "high": 1.0},
    "generator.steps": {"low": 1, "high": 4},
    "generator.step_size": {"low": 0.02, "high": 0.3, "log": True},
    "bound.kind": ["none", "clip", "target"],
    "bound.threshold": {"low": 0.02, "high": 2.0, "log": True},
    "input_bound.kind": ["steps", "linf"],
    "input_bound.radius": {"low": 0.03, "high": 1.7, "log": True},
    "alpha.value": {"low": 0.1, "high": 0.9},
    "loss.weight": {"low": 0.5, "high": 4.0, "log": True},
    "student.width": {"low": 8, "high": 64},
    "optimizer.lr": {"low": 3e-4, "high": 3e-3, "log": True},
    "refiner.rows": [4_000, 8_000],
    "refiner.synthetic": {"low": 0.0, "high": 0.6},
}
"""The default search space, of which the leaves that the preset has are searched."""

TAKEN = {None: "rows", "window": "a window", "grid": "a grid"}
"""What a teacher takes, in words."""

DECLARED = {
    "window": "declare window: {steps: 24, channels: [...]} in the features file, or take mlp",
    "grid": "declare grid: {height: 8, width: 8} in the features file, or take mlp",
}
"""What to do about a student that takes another shape than the teacher."""

NARROW_FRACTION = 0.99
"""Smallest default width as a share of the largest: on one teacher, width 48 instead of 50 cost a tenth."""

SMALL_FRACTION = 0.05
"""The same share in a study with a second objective for size."""

SINGLE = ("initializer", "alpha", "loss", "optimizer", "refiner", "checkpoint", "assistant")
"""Sections whose kind the default space takes from the preset."""


def make_space(
    preset: Recipe,
    search: Mapping[str, Any] | None,
    size: Size,
    max_parameters: int | None,
    place: str = "search",
    *,
    differentiable: bool = True,
    normalizes: bool = True,
    small: bool = False,
    default: Mapping[str, Any] = DEFAULT,
    fixed: Mapping[str, Any] | None = None,
    trial_steps: int | None = None,
) -> Space:
    """Build the search space from the ``search`` key of a study.

    Args:
        preset: recipe for leaves that are not searched.
        search: leaf -> choices or range; None for the default space.
        size: how a student's inputs are arranged, and number of outputs.
        max_parameters: largest number of parameters of a student; None for no limit.
        place: name of the study file and key, for messages.
        differentiable: whether the teacher has input gradients.
        normalizes: whether it has batch normalization, whose moments can be read.
        small: whether the default space includes small students.
        default: the default space.
        fixed: leaf -> value for every trial.
        trial_steps: number of student updates in a trial, if fewer than the preset has.

    Raises:
        SpecError: the search is invalid; the message names the leaf, the rule and the value.
    """
    fixed, file, widest = fixed or {}, place.removesuffix(": search"), None
    preset = fixing.fix(preset, fixed, file)
    if max_parameters is not None:
        widest = preset.student.widest(*size, max_parameters)
        if widest < 1:
            raise SpecError(
                "student.max_parameters",
                f"no student fits {max_parameters} parameters",
                remedy=f"{size[0].width} features and {size[1]} output{'s' * (size[1] > 1)} need at least {preset.student.with_width(1).parameters(*size)}",
            )
        if "student.width" not in fixed:
            preset = replace(preset, student=preset.student.with_width(widest))
        elif preset.student.parameters(*size) > max_parameters:
            rule = f"a student of width {fixed['student.width']} has more than {max_parameters} parameters"
            raise SpecError(f"{file}: student.width", rule, remedy=f"at most {widest}")
    explicit = search is not None
    if search is None:
        search = _default_search(default, preset, fixed, size, max_parameters, small)
    chosen = {leaf: domains.domain(leaf, value, f"{place}.{named(leaf)}") for leaf, value in search.items()}
    for leaf in chosen:
        domains.require_owner(leaf, preset, chosen, f"{place}.{leaf}")
    kinds = {
        section: [str(kind) for kind in domains.ends(chosen[f"{section}.kind"])]
        for section in SECTIONS
        if f"{section}.kind" in chosen
    }
    fixing.check(preset, fixed, kinds, file)
    space = Space(preset, chosen, max_parameters, size, fixed, trial_steps)
    _refuse_shapes(space, file)
    _refuse_unused(space, fixed, chosen if explicit else (), file)
    space = replace(space, domains={k: v for k, v in chosen.items() if space.applies(k.partition(".")[0])})
    _refuse_teacher(space, file, differentiable, normalizes)
    _refuse_committee(space, chosen if explicit else (), place)
    if max_parameters is not None:
        _refuse_giants(space)
    return space


def _default_search(
    default: Mapping[str, Any],
    preset: Recipe,
    fixed: Mapping[str, Any],
    size: Size,
    max_parameters: int | None,
    small: bool,
) -> dict[str, Any]:
    """The leaves of the default space that the preset has and nothing fixes."""
    held = preset.leaves()
    free = {leaf.partition(".")[0] for leaf in default if leaf.endswith(".kind")} | (SECTIONS.keys() - {*SINGLE})
    free -= {leaf.partition(".")[0] for leaf in fixed if leaf.endswith(".kind")}
    search = {k: v for k, v in default.items() if k.partition(".")[0] in free or k in held}
    if max_parameters is not None:
        own = [name_of(SECTIONS["student"], preset.student)]
        offered = own if "student.kind" in fixed else search.pop("student.kind", own)
        widths = {kind: student_of(kind, preset, fixed).widest(*size, max_parameters) for kind in offered}
        widths = {kind: width for kind, width in widths.items() if width}
        several = len(widths) > 1
        low, high = round((SMALL_FRACTION if small else NARROW_FRACTION) * min(widths.values())), max(widths.values())
        span = {"low": max(1, low), "high": high, "log": small}
        search.pop("student.width", None)
        if span["low"] < high and (small or not several):  # of several kinds, each is as wide as it may be
            search["student.width"] = span
        search |= {"student.kind": [*widths]} if several else {}
    elif small and "student.width" in search:
        high = search["student.width"]["high"]
        search["student.width"] = {"low": max(1, round(SMALL_FRACTION * high)), "high": high, "log": True}
    if preset.assistant.committee:  # no trial's objective depends on it
        search = {leaf: value for leaf, value in search.items() if not leaf.startswith("assistant.")}
    return {leaf: value for leaf, value in search.items() if leaf not in fixed}


def _refuse_shapes(space: Space, file: str) -> None:
    """Refuse students that are made for other inputs than the teacher's."""
    for kind in space.kinds("student"):
        takes = SECTIONS["student"][kind].takes
        if takes not in (None, space.size[0].kind):
            place = "search.student.kind" if "student.kind" in space.domains else "student.kind"
            rule = f"{kind} takes a {takes}, and the teacher takes {TAKEN[space.size[0].kind]}"
            raise SpecError(f"{file}: {place}", rule, remedy=DECLARED[takes])


def _refuse_unused(space: Space, fixed: Iterable[str], searched: Iterable[str], file: str) -> None:
    """Refuse leaves that the study file names and that no generator of the study uses."""
    for leaf, where in [(leaf, "") for leaf in fixed] + [(leaf, "search.") for leaf in searched]:
        section = leaf.partition(".")[0]
        if not space.applies(section):
            rule = f"no generator of this study {UNUSED[section]} ({', '.join(space.kinds('generator'))})"
            remedy = f"leave it out, or take a generator that {UNUSED[section]}"
            raise SpecError(f"{file}: {where}{leaf}", rule, remedy=remedy)


def _refuse_giants(space: Space) -> None:
    """Check before the first trial that every kind and depth of student in the space can fit the limit."""
    for kind in space.kinds("student"):
        student = student_of(kind, space.preset, space.fixed)
        assert is_dataclass(student)  # every strategy is one
        names = [f.name for f in fields(student) if f.name != "width" and f"student.{f.name}" in space.domains]
        spans = [domains.ends(space.domains[f"student.{name}"]) for name in names]
        for values in product(*spans):
            space.widest(replace(student, **dict(zip(names, values, strict=True))))


def _refuse_teacher(space: Space, file: str, differentiable: bool, normalizes: bool) -> None:
    """Refuse generators that need what the teacher does not have: input gradients, or batch normalization."""
    place = f"{file}: {'search.' if 'generator.kind' in space.domains else ''}generator.kind"
    for name in space.kinds("generator"):
        kind = SECTIONS["generator"][name]
        if kind.needs_gradients and not differentiable:
            rule = f"{name} needs the teacher's input gradients, and this teacher is a black box"
            raise SpecError(place, rule, remedy=f"these need none: {', '.join(gradient_free())}")
        if kind.needs_batch_norm and not normalizes:
            rule = (
                f"{name} needs the moments that batch normalization stores, and this teacher has none that can be read"
            )
            remedy = "direct needs none; they are read of PyTorch modules and .pt2"
            raise SpecError(place, rule, remedy=remedy)


def _refuse_committee(space: Space, searched: Iterable[str], place: str) -> None:
    """Refuse to search who labels for the re-runs, as no trial's objective depends on it."""
    why = "a committee labels for the re-runs, so that no trial's objective depends on it"
    for leaf in (leaf for leaf in searched if leaf.partition(".")[0] == "assistant"):
        if any(SECTIONS["assistant"][kind]().committee for kind in space.kinds("assistant")):
            raise SpecError(f"{place}.{leaf}", why, remedy=f"fix {leaf}, or search wider and none")


def gradient_free() -> list[str]:
    """Generators that need no input gradients of the teacher."""
    return [name for name, kind in SECTIONS["generator"].items() if not kind.needs_gradients]
