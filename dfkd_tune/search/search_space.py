"""The searched leaves of a recipe, and how Optuna chooses them.

A leaf is ``section.field`` or ``section.kind``. Kinds are chosen first, then only the fields of the chosen kinds: a bound is
not searched for a generator that seeks nothing, an input bound not for one that does not travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any, get_type_hints

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.recipes.gap_bounds import Unbounded
from dfkd_tune.recipes.input_bounds import Steps
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.utils.quoting import named, quoted
from dfkd_tune.utils.strategy import build, kind_of, name_of, strategy

DEFAULT: dict[str, Any] = {
    "start.surplus": [0.1, 0.2, 0.3],
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
    "finish.rows": [4_000, 8_000],
    "finish.synthetic": {"low": 0.0, "high": 0.6},
}
"""What a study searches when its file says nothing, around its preset: the leaves that the preset has."""

NARROW = 0.99
"""Of the widest student that fits, the narrowest that the default space tries: a width of 48 in place of 50 cost a tenth on one teacher."""

SMALL = 0.05
"""The same where size is weighed against fidelity."""

CHOICES = 1_000
"""Of a leaf, at most."""

SINGLE = ("start", "alpha", "loss", "optimizer", "finish")
"""Sections whose kind the default space leaves to the preset."""

INITIAL = {
    "generator.spread": 0.6,
    "input_bound.kind": "linf",
    "input_bound.radius": 0.3,
    "optimizer.schedule": "cosine",
    "alpha.value": 0.5,
}
"""What the first trial of each generator takes beyond the preset, where it is searched."""


@strategy
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False


Domain = CategoricalDistribution | IntDistribution | FloatDistribution


def ends(domain: Domain) -> Sequence[Any]:
    """The choices of a domain, or the least and the greatest of its numbers."""
    return domain.choices if isinstance(domain, CategoricalDistribution) else (domain.low, domain.high)


@dataclass(frozen=True)
class Space:
    """A preset and the distributions of the leaves that are searched.

    Args:
        preset: where every leaf that is not searched comes from.
        domains: leaf -> Optuna distribution.
        max_parameters: no suggested student has more; None for no limit.
        size: features and outputs of the teacher.
    """

    preset: Recipe
    domains: Mapping[str, Domain]
    max_parameters: int | None
    size: tuple[int, int]

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """Let a trial choose a recipe."""
        chosen: dict[str, Any] = {}
        for section, registry in SECTIONS.items():
            chosen[section] = self._section(trial, section, registry, chosen)
        return replace(self.preset, **chosen)

    def initial_points(self) -> list[dict[str, Any]]:
        """Parameters of the first trials: each kind of generator once, with what is known to work, as far as searched.

        The first of them comes again with every other finish.
        """
        kinds, own = self.searched_kinds("generator"), name_of(SECTIONS["generator"], self.preset.generator)
        initial_points = []
        for kind in reversed(kinds) if kinds else [own]:
            beyond = {k: v for k, v in INITIAL.items() if kind != own or not k.startswith("generator.")}
            point = self.preset.leaves() | {"generator.kind": kind} | beyond
            if self.max_parameters is not None:
                name = "@".join(("student.width", *self._variant(self.preset.student)))
                point[name] = self.preset.student.widest(*self.size, self.max_parameters)
            elif isinstance(width := self.domains.get("student.width"), IntDistribution):
                point["student.width"] = width.high
            initial_points.append({leaf: value for leaf, value in point.items() if self._offers(leaf, value)})
        finishes = getattr(self.domains.get("finish.kind"), "choices", ())
        return initial_points + [
            initial_points[0] | {"finish.kind": kind}
            for kind in finishes
            if kind != initial_points[0].get("finish.kind")
        ]

    def _offers(self, leaf: str, value: Any) -> bool:
        domain = self.domains.get(leaf.partition("@")[0])
        if domain is None:
            return False
        if isinstance(domain, CategoricalDistribution):
            return value in domain.choices
        return domain.low <= value <= domain.high

    def describe(self) -> dict[str, Any]:
        """The space as plain values: what a resumed study must agree with."""
        leaves = {leaf: _plain(domain) for leaf, domain in self.domains.items()}
        fixed = {k: v for k, v in self.preset.leaves().items() if k not in leaves}
        return {"search": leaves, "preset": fixed, "max_parameters": self.max_parameters}

    def owners(self, leaf: str) -> list[str]:
        """The kinds on offer in a leaf's section that have it; empty where all of them do."""
        section, _, field = leaf.partition(".")
        kinds = self._kinds(section)
        having = [kind for kind in kinds if field in {f.name for f in fields(SECTIONS[section][kind])}]
        return [] if field == "kind" or having == kinds else having

    def generators(self, section: str) -> list[str]:
        """The generators on offer that a section is searched for; empty where it is for all of them."""
        kinds = self._kinds("generator")
        asking = [kind for kind in kinds if self._held(section, SECTIONS["generator"][kind]()) is None]
        return [] if asking == kinds else asking

    def searched_kinds(self, section: str) -> list[str] | None:
        """The kinds that a section is searched among; None where it has the preset's."""
        domain = self.domains.get(f"{section}.kind")
        return None if domain is None else [str(kind) for kind in ends(domain)]

    def _kinds(self, section: str) -> list[str]:
        return self.searched_kinds(section) or [name_of(SECTIONS[section], getattr(self.preset, section))]

    def _held(self, section: str, generator: Any) -> Any:
        """What a section is where the generator leaves nothing to choose; None where a trial is asked."""
        if section == "alpha" and isinstance(generator, Gaussian) and "generator.kind" in self.domains:
            return Constant(0.0)  # its rows are prior rows anyway
        if section == "bound" and not generator.uses_gap:
            return Unbounded()
        if section == "input_bound" and not generator.starts_from_prior:
            return Steps()
        return None

    def _section(
        self, trial: optuna.Trial, section: str, registry: Mapping[str, type], chosen: Mapping[str, Any]
    ) -> Any:
        if (held := self._held(section, chosen.get("generator"))) is not None:
            return held
        base = getattr(self.preset, section)
        kind = type(base)
        if f"{section}.kind" in self.domains:
            kind = registry[_ask(trial, f"{section}.kind", self.domains[f"{section}.kind"])]
        item = base if kind is type(base) else kind()
        values = {}
        for field in sorted(fields(kind), key=lambda field: field.name == "width"):  # the widest fit depends on depth
            domain = self.domains.get(f"{section}.{field.name}")
            if domain is None:
                continue
            name = f"{section}.{field.name}"
            if field.name == "width" and self.max_parameters is not None:
                name, domain = self._width(replace(item, **values), name, domain)
            values[field.name] = _ask(trial, name, domain)
        item = replace(item, **values)
        if section == "student" and self.max_parameters is not None:
            widest = self.widest(item)
            if item.has_width:  # which may not have been asked for
                item = replace(item, width=min(item.width, widest))
        return item

    def _width(self, student: Any, name: str, domain: Domain) -> tuple[str, Domain]:
        widest = self.widest(student)
        if isinstance(domain, CategoricalDistribution):
            fitting = [w for w in domain.choices if isinstance(w, int) and w <= widest]
            domain = CategoricalDistribution(fitting or [widest])
        else:
            assert isinstance(domain, IntDistribution)  # a width is a whole number
            high = min(domain.high, widest)
            domain = IntDistribution(min(domain.low, high), high, log=domain.log)
        return "@".join((name, *self._variant(student))), domain

    def _variant(self, student: Any) -> list[str]:
        """What a range of widths depends on: Optuna wants one range a name."""
        kind = [name_of(SECTIONS["student"], student)] if "student.kind" in self.domains else []
        depth = [f"depth{student.depth}"] if "student.depth" in self.domains and student.hidden_layers else []
        return kind + depth

    def widest(self, student: Any) -> int:
        """The largest width that fits a student of this depth.

        Raises:
            SpecError: when none fits.
        """
        widest = student.widest(*self.size, self.max_parameters)
        if widest < 1:
            raise SpecError(
                "student.max_parameters",
                f"no {student} fits {self.max_parameters} parameters",
                remedy="allow more parameters or search less depth",
            )
        return widest


def make_space(
    preset: Recipe,
    search: Mapping[str, Any] | None,
    size: tuple[int, int],
    max_parameters: int | None,
    place: str = "search",
    differentiable: bool = True,
    small: bool = False,
    default: Mapping[str, Any] = DEFAULT,
) -> Space:
    """A space from a study's ``search`` key.

    Args:
        preset: where unsearched leaves come from.
        search: leaf -> choices or range; None for the default space.
        size: features and outputs of the teacher.
        max_parameters: of a student.
        place: for messages.
        differentiable: whether the teacher has input gradients.
        small: whether the default space tries small students too.
        default: the default space.

    Raises:
        SpecError: naming the leaf, the rule and the value.
    """
    widest = None
    if max_parameters is not None:
        widest = preset.student.widest(*size, max_parameters)
        if widest < 1:
            raise SpecError(
                "student.max_parameters",
                f"no student fits {max_parameters} parameters",
                remedy=f"{size[0]} features and {size[1]} outputs need at least {preset.student.with_width(1).parameters(*size)}",
            )
        preset = preset.with_student(width=widest)
    if search is None:
        held = preset.leaves()
        free = {leaf.partition(".")[0] for leaf in default if leaf.endswith(".kind")} | (SECTIONS.keys() - {*SINGLE})
        search = {k: v for k, v in default.items() if k.partition(".")[0] in free or k in held}
        if widest is not None:
            low = max(1, round((SMALL if small else NARROW) * widest))
            span = {"student.width": {"low": low, "high": widest, "log": small}} if low < widest else {}
            search = {leaf: value for leaf, value in search.items() if leaf != "student.width"} | span
        elif small and "student.width" in search:
            high = search["student.width"]["high"]
            search["student.width"] = {"low": max(1, round(SMALL * high)), "high": high, "log": True}
    domains = {leaf: _domain(leaf, value, f"{place}.{named(leaf)}") for leaf, value in search.items()}
    for leaf in domains:
        _used(leaf, preset, domains, f"{place}.{leaf}")
    space = Space(preset, domains, max_parameters, size)
    if not differentiable:
        _refuse_gradients(space, place)
    if max_parameters is not None:
        _refuse_giants(space)
    return space


def _refuse_giants(space: Space) -> None:
    """Hold every kind and depth of student that may be chosen against the limit, before any trial does."""
    base, registry = space.preset.student, SECTIONS["student"]
    kinds: list[type] = [registry[name] for name in space.searched_kinds("student") or ()] or [type(base)]
    for kind in kinds:
        names = [f.name for f in fields(kind) if f.name != "width" and f"student.{f.name}" in space.domains]
        domains = [space.domains[f"student.{name}"] for name in names]
        for values in product(*map(ends, domains)):
            student = base if kind is type(base) else kind()
            assert is_dataclass(student) and not isinstance(student, type)  # every strategy is one
            space.widest(replace(student, **dict(zip(names, values, strict=True))))


def _refuse_gradients(space: Space, place: str) -> None:
    """Hold a space against a teacher that only answers."""
    registry = SECTIONS["generator"]
    for name in space._kinds("generator"):
        if registry[name].needs_gradients:
            raise SpecError(
                f"{place}.generator.kind",
                f"{name} needs the teacher's input gradients, and this teacher is a black box",
                remedy=f"these need none: {', '.join(gradient_free())}",
            )


def gradient_free() -> list[str]:
    """Generators that a black box can be distilled with."""
    return [name for name, kind in SECTIONS["generator"].items() if not kind.needs_gradients]


def _ask(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    if isinstance(domain, CategoricalDistribution):
        return trial.suggest_categorical(name, domain.choices)
    if isinstance(domain, IntDistribution):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _domain(leaf: str, value: Any, place: str) -> Domain:
    section, _, field = leaf.partition(".")
    if section not in SECTIONS:
        raise SpecError(
            place,
            f"unknown section {quoted(section)}",
            remedy=f"searchable: {', '.join(SECTIONS)}; budgets are the same for all trials",
        )
    registry = SECTIONS[section]
    if field == "kind":
        if not isinstance(value, list) or not value:
            raise SpecError(
                place, f"must be a list of kinds, got {quoted(value)}", remedy=f"known: {', '.join(registry)}"
            )
        for name in value:
            kind_of(registry, name, place)
        return CategoricalDistribution(_distinct(value, place))
    owners = [
        kind
        for _, kind in registry.usable()
        if field in get_type_hints(kind) and field in {f.name for f in fields(kind)}
    ]
    if not owners:
        known = sorted({f.name for _, kind in registry.usable() for f in fields(kind)})
        raise SpecError(place, f"no {section} has a field {quoted(field)}", remedy=f"known: kind, {', '.join(known)}")
    whole = get_type_hints(owners[0])[field] is int
    if isinstance(value, list):
        if not value:
            raise SpecError(place, "needs at least one choice, got []")
        return CategoricalDistribution(_distinct([_accepted(owners, field, choice, place) for choice in value], place))
    if not isinstance(value, Mapping):
        raise SpecError(place, f"must be a list of choices or a mapping with low and high, got {quoted(value)}")
    span = build(Range, value, place)
    if span.low > span.high:
        raise SpecError(place, f"low must be <= high, got {span.low:g} > {span.high:g}")
    if span.log and span.low <= 0:
        raise SpecError(place, f"low must be > 0 when log is true, got {span.low}")
    for end in (span.low, span.high):
        if whole and end != int(end):
            raise SpecError(place, f"must be whole numbers, got {end}")
    for end in (span.low, span.high):
        _accepted(owners, field, int(end) if whole else end, place)
    if whole:
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def _accepted(owners: list[type], field: str, value: Any, place: str) -> Any:
    """A value as the strategies that have the field hold it."""
    try:
        return [getattr(build(kind, {field: value}, ""), field) for kind in owners][-1]
    except SpecError as error:
        raise SpecError(place, error.rule) from None


def _distinct(choices: list[Any], place: str) -> list[Any]:
    if len(choices) > CHOICES:
        raise SpecError(place, f"holds {len(choices):,} choices, {CHOICES:,} at most", remedy="give a range")
    if len(set(choices)) != len(choices):
        raise SpecError(place, f"choices must differ, got {quoted(choices)}")
    return choices


def _used(leaf: str, preset: Recipe, domains: Mapping[str, Domain], place: str) -> None:
    section, _, field = leaf.partition(".")
    if field == "kind":
        return
    registry = SECTIONS[section]
    kinds = (
        [str(kind) for kind in ends(domains[f"{section}.kind"])]
        if f"{section}.kind" in domains
        else [name_of(registry, getattr(preset, section))]
    )
    if not any(field in {f.name for f in fields(registry[kind])} for kind in kinds):
        raise SpecError(
            place, f"no searched {section} has it ({', '.join(kinds)})", remedy=f"add its kind to search.{section}.kind"
        )


def _plain(domain: Domain) -> Any:
    if isinstance(domain, CategoricalDistribution):
        return list(domain.choices)
    return {"low": domain.low, "high": domain.high, "log": domain.log}
