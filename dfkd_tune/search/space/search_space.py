"""The search space: which leaves of a recipe Optuna chooses, and from which domains.

A leaf is ``section.field`` or ``section.kind``. Kinds are chosen first, then only the fields of the chosen kinds. A gap
bound is searched only for generators that use the gap, an input bound only for generators that start from the prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import product
from typing import Any, get_type_hints

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.gap_bounds import Unbounded
from dfkd_tune.recipes.input_bounds import Steps
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.space import domains, fixing
from dfkd_tune.students.base import Student
from dfkd_tune.utils.quoting import named
from dfkd_tune.utils.strategy import name_of

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
"""The default search space, of which the leaves that the preset has are searched."""

Size = tuple[Columns, int]
"""How the inputs of a student are arranged, and its number of outputs."""

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

SINGLE = ("start", "alpha", "loss", "optimizer", "finish")
"""Sections whose kind the default space takes from the preset."""

UNUSED = {"bound": "uses the gap", "input_bound": "starts from prior rows"}
"""Sections that apply only to some generators -> what these generators do."""

INITIAL = {
    "generator.spread": 0.6,
    "input_bound.kind": "linf",
    "input_bound.radius": 0.3,
    "optimizer.schedule": "cosine",
    "alpha.value": 0.5,
}
"""Values for the first trial of each generator that differ from the preset, as far as they are searched."""


@dataclass(frozen=True)
class Space:
    """A preset and the distributions of the searched leaves.

    Args:
        preset: recipe for every leaf that is not searched.
        domains: leaf -> Optuna distribution.
        max_parameters: largest number of parameters of a suggested student; None for no limit.
        size: how a student's inputs are arranged, and number of outputs.
        fixed: leaf -> value, for every kind that has the field.
    """

    preset: Recipe
    domains: Mapping[str, domains.Domain]
    max_parameters: int | None
    size: Size
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """Suggest a recipe for a trial."""
        chosen: dict[str, Any] = {}
        for section, registry in SECTIONS.items():
            chosen[section] = self._section(trial, section, registry, chosen)
        return replace(self.preset, **chosen)

    def initial_points(self) -> list[dict[str, Any]]:
        """Parameters of the first trials: each kind of generator once, with values that are known to work.

        The first of them is repeated with every other kind of finish and of student.
        """
        kinds, own = self.searched_kinds("generator"), name_of(SECTIONS["generator"], self.preset.generator)
        initial_points = []
        for kind in reversed(kinds) if kinds else [own]:
            beyond = {k: v for k, v in INITIAL.items() if kind != own or not k.startswith("generator.")}
            point = self.preset.leaves() | {"generator.kind": kind} | beyond | self._at_widest(self.preset.student)
            initial_points.append({leaf: value for leaf, value in point.items() if self._offers(leaf, value)})
        first = initial_points[0]
        others = [
            first | {"finish.kind": kind}
            for kind in self.searched_kinds("finish") or ()
            if kind != first.get("finish.kind")
        ]
        for kind in self.searched_kinds("student") or ():
            if kind != first.get("student.kind"):
                point = {"student.kind": kind} | self._at_widest(_student(kind, self.preset, self.fixed))
                others.append(first | {leaf: value for leaf, value in point.items() if self._offers(leaf, value)})
        return initial_points + others

    def _at_widest(self, student: Student) -> dict[str, Any]:
        """The leaf of the width with the largest width that the space has for a student."""
        if self.max_parameters is not None:
            name = "@".join(("student.width", *self._variant(student)))
            return {name: student.widest(*self.size, self.max_parameters)}
        width = self.domains.get("student.width")
        return {"student.width": width.high} if isinstance(width, IntDistribution) else {}

    def students(self) -> list[Student]:
        """A student of each kind of the space, as wide as it may be."""
        made = [_student(kind, self.preset, self.fixed) for kind in self.kinds("student")]
        if self.max_parameters is None:
            domain = self.domains.get("student.width")
            return made if domain is None else [each.with_width(max(domains.ends(domain))) for each in made]
        return [self._limited(each) for each in made]

    def _offers(self, leaf: str, value: Any) -> bool:
        domain = self.domains.get(leaf.partition("@")[0])
        if domain is None:
            return False
        if isinstance(domain, CategoricalDistribution):
            return value in domain.choices
        return domain.low <= value <= domain.high

    def describe(self) -> dict[str, Any]:
        """The space as plain values, which a resumed study must match."""
        leaves = {leaf: domains.plain(domain) for leaf, domain in self.domains.items()}
        rest = {k: v for k, v in self.preset.leaves().items() if k not in leaves}
        told = {"search": leaves, "preset": rest, "max_parameters": self.max_parameters}
        return told | ({"fixed": dict(self.fixed)} if self.fixed else {})

    def owners(self, leaf: str) -> list[str]:
        """The kinds in a leaf's section that have the leaf; empty if all have it."""
        section, _, field = leaf.partition(".")
        kinds = self.kinds(section)
        having = [kind for kind in kinds if field in {f.name for f in fields(SECTIONS[section][kind])}]
        return [] if field == "kind" or having == kinds else having

    def applies(self, section: str) -> bool:
        """Whether any generator of the study uses a section."""
        return section not in UNUSED or bool(self.generators_using(section))

    def generators_using(self, section: str) -> list[str]:
        """The searched generators that a section applies to."""
        return [kind for kind in self.kinds("generator") if self._held(section, SECTIONS["generator"][kind]()) is None]

    def generators(self, section: str) -> list[str]:
        """The generators for which a section is searched; empty if it is searched for all."""
        kinds = self.kinds("generator")
        asking = self.generators_using(section)
        return [] if asking == kinds else asking

    def searched_kinds(self, section: str) -> list[str] | None:
        """The searched kinds of a section; None if it has the kind of the preset."""
        domain = self.domains.get(f"{section}.kind")
        return None if domain is None else [str(kind) for kind in domains.ends(domain)]

    def kinds(self, section: str) -> list[str]:
        return self.searched_kinds(section) or [name_of(SECTIONS[section], getattr(self.preset, section))]

    def _held(self, section: str, generator: Any) -> Any:
        """The value of a section that the generator makes irrelevant; None if a trial must choose."""
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
            kind = registry[domains.ask(trial, f"{section}.kind", self.domains[f"{section}.kind"])]
        item = base if kind is type(base) else replace(kind(), **fixing.fields_of(self.fixed, section, kind))
        values = {}
        for each in sorted(fields(kind), key=lambda each: each.name == "width"):  # the widest fit depends on depth
            domain = self.domains.get(f"{section}.{each.name}")
            if domain is None:
                continue
            name = f"{section}.{each.name}"
            if each.name == "width" and self.max_parameters is not None:
                name, domain = self._width(replace(item, **values), name, domain)
            values[each.name] = domains.ask(trial, name, domain)
        item = replace(item, **values)
        return self._limited(item) if section == "student" and self.max_parameters is not None else item

    def _limited(self, student: Any) -> Any:
        """A student within ``max_parameters``; as wide as they allow, unless its width is fixed or searched."""
        widest = self.widest(student)
        if not student.has_width:
            return student
        given = "student.width" in self.fixed or "student.width" in self.domains
        return student.with_width(min(student.width, widest) if given else widest)

    def _width(self, student: Any, name: str, domain: domains.Domain) -> tuple[str, domains.Domain]:
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
        """Suffixes for the name of the width, whose range depends on kind, depth and the like: Optuna needs a range per name."""
        kind = [name_of(SECTIONS["student"], student)] if "student.kind" in self.domains else []
        hints = get_type_hints(type(student))
        names = [f.name for f in fields(student) if f.name != "width" and hints[f.name] is int]
        return kind + [f"{name}{getattr(student, name)}" for name in names if f"student.{name}" in self.domains]

    def widest(self, student: Student) -> int:
        """The largest width of such a student within ``max_parameters``.

        Raises:
            SpecError: not even width 1 fits.
        """
        widest = student.widest(*self.size, self.max_parameters)
        if widest < 1:
            raise SpecError(
                "student.max_parameters",
                f"no {student} fits {self.max_parameters} parameters",
                remedy="allow more parameters or search less depth",
            )
        return widest


def _student(kind: str, preset: Recipe, fixed: Mapping[str, Any]) -> Student:
    """A student of a kind: the preset's, or one with the values that the study fixes."""
    cls = SECTIONS["student"][kind]
    own = preset.student
    return own if type(own) is cls else replace(cls(), **fixing.fields_of(fixed, "student", cls))


def make_space(
    preset: Recipe,
    search: Mapping[str, Any] | None,
    size: Size,
    max_parameters: int | None,
    place: str = "search",
    differentiable: bool = True,
    small: bool = False,
    default: Mapping[str, Any] = DEFAULT,
    fixed: Mapping[str, Any] | None = None,
) -> Space:
    """Build the search space from the ``search`` key of a study.

    Args:
        preset: recipe for leaves that are not searched.
        search: leaf -> choices or range; None for the default space.
        size: how a student's inputs are arranged, and number of outputs.
        max_parameters: largest number of parameters of a student; None for no limit.
        place: name of the study file and key, for messages.
        differentiable: whether the teacher has input gradients.
        small: whether the default space includes small students.
        default: the default space.
        fixed: leaf -> value for every trial.

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
                remedy=f"{size[0].width} features and {size[1]} outputs need at least {preset.student.with_width(1).parameters(*size)}",
            )
        if "student.width" not in fixed:
            preset = replace(preset, student=preset.student.with_width(widest))
        elif (own := getattr(preset.student, "width", 1)) > widest:
            rule = f"a student of width {own} has more than {max_parameters} parameters"
            raise SpecError(f"{file}: student.width", rule, remedy=f"at most {widest}")
    explicit = search is not None
    if search is None:
        search = _default_search(default, preset, fixed, size, max_parameters, small)
    for leaf in search.keys() & fixed.keys():
        raise SpecError(
            f"{place}.{named(leaf)}", "is fixed and searched", remedy=f"leave it out of search, or {leaf} out"
        )
    chosen = {leaf: domains.domain(leaf, value, f"{place}.{named(leaf)}") for leaf, value in search.items()}
    for leaf in chosen:
        domains.require_owner(leaf, preset, chosen, f"{place}.{leaf}")
    kinds = {
        section: [str(kind) for kind in domains.ends(chosen[f"{section}.kind"])]
        for section in SECTIONS
        if f"{section}.kind" in chosen
    }
    fixing.check(preset, fixed, kinds, file)
    space = Space(preset, chosen, max_parameters, size, fixed)
    _refuse_shapes(space, file)
    _refuse_unused(space, fixed, chosen if explicit else (), file)
    space = replace(space, domains={k: v for k, v in chosen.items() if space.applies(k.partition(".")[0])})
    if not differentiable:
        _refuse_gradients(space, place)
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
        offered = search.pop("student.kind", [name_of(SECTIONS["student"], preset.student)])
        widths = {kind: _student(kind, preset, fixed).widest(*size, max_parameters) for kind in offered}
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
    base, registry = space.preset.student, SECTIONS["student"]
    kinds: list[type] = [registry[name] for name in space.searched_kinds("student") or ()] or [type(base)]
    for kind in kinds:
        names = [f.name for f in fields(kind) if f.name != "width" and f"student.{f.name}" in space.domains]
        spans = [domains.ends(space.domains[f"student.{name}"]) for name in names]
        for values in product(*spans):
            student = base if kind is type(base) else kind()
            assert is_dataclass(student) and not isinstance(student, type)  # every strategy is one
            space.widest(replace(student, **dict(zip(names, values, strict=True))))


def _refuse_gradients(space: Space, place: str) -> None:
    """Refuse generators that need input gradients, for a black-box teacher."""
    registry = SECTIONS["generator"]
    for name in space.kinds("generator"):
        if registry[name].needs_gradients:
            raise SpecError(
                f"{place}.generator.kind",
                f"{name} needs the teacher's input gradients, and this teacher is a black box",
                remedy=f"these need none: {', '.join(gradient_free())}",
            )


def gradient_free() -> list[str]:
    """Generators that need no input gradients of the teacher."""
    return [name for name, kind in SECTIONS["generator"].items() if not kind.needs_gradients]
