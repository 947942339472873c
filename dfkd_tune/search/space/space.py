"""``Space``: a search space, from which a trial takes a recipe.

A leaf is ``section.field`` or ``section.kind``. Kinds are chosen first, then only the fields of the chosen kinds. A gap
bound is searched only for generators that use the gap, an input bound only for generators that start from the prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution

from dfkd_tune.errors import SpecError
from dfkd_tune.generators.base import Generator
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.assistants import MOST_MEMBERS, NoAssistant
from dfkd_tune.recipes.base import Assistant, GapBound, InputBound, Mixing
from dfkd_tune.recipes.gap_bounds import Unbounded
from dfkd_tune.recipes.input_bounds import Steps
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.search.space import domains, fixing
from dfkd_tune.students.base import Student
from dfkd_tune.utils.strategy import name_of

Size = tuple[Columns, int]
"""How the inputs of a student are arranged, and its number of outputs."""

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
        trial_steps: number of student updates in a trial, if fewer than the preset has; None for the same.
    """

    preset: Recipe
    domains: Mapping[str, domains.Domain]
    max_parameters: int | None
    size: Size
    fixed: Mapping[str, Any] = field(default_factory=dict)
    trial_steps: int | None = None

    def suggest(self, trial: optuna.Trial) -> Recipe:
        """Suggest a recipe for a trial."""
        chosen: dict[str, Any] = {}
        for section, registry in SECTIONS.items():
            chosen[section] = self._section(trial, section, registry, chosen)
        chosen |= {"assistant": chosen["assistant"].of_trials, "steps": self.trial_steps or self.preset.steps}
        return replace(self.preset, **chosen)

    def of_reruns(self, recipe: Recipe, finished: int, answered: int) -> Recipe:
        """The recipe of a trial as it is run again: with all steps, and with the committee of its study if there is one.

        Args:
            recipe: recipe of a trial.
            finished: number of students that may be asked.
            answered: number of answered rows.
        """
        own, recipe = self.preset.assistant, replace(recipe, steps=self.preset.steps)
        if "assistant.kind" in self.domains or not own.committee or not finished:
            return recipe
        return replace(recipe, assistant=own.of_reruns(finished, answered))

    def committee(self, answered: int) -> int:
        """Most students that label for the re-runs of a study with so many answered rows; 0 if nobody does."""
        return self.of_reruns(replace(self.preset, assistant=NoAssistant()), MOST_MEMBERS, answered).assistant.committee

    def initial_points(self) -> list[dict[str, Any]]:
        """Parameters of the first trials: each kind of generator once, with values that are known to work.

        The first of them is repeated with every other kind of refiner and of student.
        """
        kinds, own = self.searched_kinds("generator"), name_of(SECTIONS["generator"], self.preset.generator)
        initial_points = []
        for kind in reversed(kinds) if kinds else [own]:
            beyond = {k: v for k, v in INITIAL.items() if kind != own or not k.startswith("generator.")}
            point = self.preset.leaves() | {"generator.kind": kind} | beyond | self._at_widest(self.preset.student)
            initial_points.append({leaf: value for leaf, value in point.items() if self._offers(leaf, value)})
        first = initial_points[0]
        others = [
            first | {"refiner.kind": kind}
            for kind in self.searched_kinds("refiner") or ()
            if kind != first.get("refiner.kind")
        ]
        for kind in self.searched_kinds("student") or ():
            if kind != first.get("student.kind"):
                point = {"student.kind": kind} | self._at_widest(student_of(kind, self.preset, self.fixed))
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
        made = [student_of(kind, self.preset, self.fixed) for kind in self.kinds("student")]
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
        described = {"search": leaves, "preset": rest, "max_parameters": self.max_parameters}
        described |= {"fixed": dict(self.fixed)} if self.fixed else {}
        return described | ({} if self.trial_steps is None else {"trial_steps": self.trial_steps})

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
        using = self.generators_using(section)
        return [] if using == kinds else using

    def searched_kinds(self, section: str) -> list[str] | None:
        """The searched kinds of a section; None if it has the kind of the preset."""
        domain = self.domains.get(f"{section}.kind")
        return None if domain is None else [str(kind) for kind in domains.ends(domain)]

    def kinds(self, section: str) -> list[str]:
        """The kinds that a trial may have in a section."""
        return self.searched_kinds(section) or [name_of(SECTIONS[section], getattr(self.preset, section))]

    def _held(self, section: str, generator: Generator | None) -> Mixing | GapBound | InputBound | None:
        """The value of a section that the generator makes irrelevant; None if a trial must choose."""
        if generator is None:  # a section that comes before it
            return None
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
            kind = registry[domains.suggest(trial, f"{section}.kind", self.domains[f"{section}.kind"])]
        item = base if kind is type(base) else replace(kind(), **fixing.fields_of(self.fixed, section, kind))
        values = {}
        for each in sorted(fields(kind), key=lambda each: each.name == "width"):  # the widest fit depends on depth
            domain = self.domains.get(f"{section}.{each.name}")
            if domain is None:
                continue
            name = f"{section}.{each.name}"
            if each.name == "width" and self.max_parameters is not None:
                name, domain = self._width(replace(item, **values), name, domain)
            values[each.name] = domains.suggest(trial, name, domain)
        item = replace(item, **values)
        return self._limited(item) if section == "student" and self.max_parameters is not None else item

    def assistants(self) -> list[Assistant]:
        """An assistant of each kind of the space, as large as it may be."""
        made, section = [], "assistant"
        own, registry = getattr(self.preset, section), SECTIONS[section]
        for name in self.kinds(section):
            kind: type = registry[name]
            item = own if kind is type(own) else replace(kind(), **fixing.fields_of(self.fixed, section, kind))
            searched = {each.name: self.domains.get(f"{section}.{each.name}") for each in fields(kind)}
            most = {name: max(domains.ends(domain)) for name, domain in searched.items() if domain is not None}
            made.append(replace(item, **most))
        return made

    def _limited(self, student: Any) -> Student:
        """A student within ``max_parameters``; as wide as they allow, unless its width is fixed or searched."""
        widest = self.widest(student)
        if not student.has_width:
            return student
        given = "student.width" in self.fixed or "student.width" in self.domains
        return student.with_width(min(student.width, widest) if given else widest)

    def _width(self, student: Student, name: str, domain: domains.Domain) -> tuple[str, domains.Domain]:
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
        assert self.max_parameters is not None  # without a limit nobody asks
        widest = student.widest(*self.size, self.max_parameters)
        if widest < 1:
            raise SpecError(
                "student.max_parameters",
                f"no {student} fits {self.max_parameters} parameters",
                remedy="allow more parameters or search less depth",
            )
        return widest


def student_of(kind: str, preset: Recipe, fixed: Mapping[str, Any]) -> Student:
    """A student of a kind: the preset's, or one with the values that the study fixes."""
    cls = SECTIONS["student"][kind]
    own = preset.student
    return own if type(own) is cls else replace(cls(), **fixing.fields_of(fixed, "student", cls))
