"""Apply the fixed leaves of a study file to the preset and to every kind that is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.recipe import SECTIONS, Recipe, from_tree
from dfkd_tune.utils.quoting import named
from dfkd_tune.utils.strategy import build, kind_of, name_of


def fix(preset: Recipe, fixed: Mapping[str, Any], place: str) -> Recipe:
    """Set the fixed leaves that the preset's strategies have.

    Args:
        preset: recipe for all other leaves.
        fixed: leaf -> value, as written.
        place: name of the study file, for messages.

    Raises:
        SpecError: a value is invalid; the message names the leaf, the rule and the value.
    """
    tree: dict[str, dict[str, Any]] = {}
    for leaf, value in fixed.items():
        section, _, field = leaf.partition(".")
        own = f"{section}.kind" in fixed or field in _names(type(getattr(preset, section)))
        if own or field == "kind":
            tree.setdefault(section, {})[field] = value
    try:
        return from_tree(tree, place, preset)
    except SpecError as error:
        where = error.place.replace(f"{place}.", f"{place}: ", 1)
        raise SpecError(where, error.rule, remedy=None if error.remedy == SpecError.NEXT else error.remedy) from None


def check_values(fixed: Mapping[str, Any], search: Mapping[str, Any] | None, place: str) -> None:
    """Check what no teacher is needed for: every fixed leaf has a value that it may have, and is not searched.

    The kinds of a section are known if its kind is fixed or searched. Elsewhere the teacher decides, so a value is right if any
    kind takes it; ``check`` and ``fix`` are stricter once the preset is known.

    Args:
        fixed: leaf -> value.
        search: leaf -> choices or range; None for the default space.
        place: name of the study file, for messages.

    Raises:
        SpecError: a value is invalid; the message names the leaf, the rule and the value.
    """
    for leaf in sorted(fixed.keys() & (search or {}).keys()):
        remedy = f"leave it out of search, or {leaf} out"
        raise SpecError(f"{place}: search.{named(leaf)}", "is fixed and searched", remedy=remedy)
    for leaf, value in fixed.items():
        section, _, field = leaf.partition(".")
        registry = SECTIONS[section]
        if field == "kind":
            kind_of(registry, value, f"{place}: {named(leaf)}")
            continue
        own = f"{section}.kind"
        if own in fixed:
            build(kind_of(registry, fixed[own], f"{place}: {own}"), {field: value}, f"{place}: {section}", ("kind",))
            continue
        known = None if search is None else search.get(own)
        offered = [registry[name] for name in known] if known else [kind for _, kind in registry.usable()]
        refused = [error for kind in offered if (error := _refusal(kind, field, value, f"{place}: {section}"))]
        having = [kind for kind in offered if field in _names(kind)]
        if refused and (known or len(refused) == len(having)):
            raise refused[0]


def _refusal(kind: type, field: str, value: Any, place: str) -> SpecError | None:
    """Why a kind does not take a value; None if it does, or has no such field."""
    try:
        if field in _names(kind):
            build(kind, {field: value}, place)
    except SpecError as error:
        return error
    return None


def check(preset: Recipe, fixed: Mapping[str, Any], kinds: Mapping[str, Sequence[str]], place: str) -> None:
    """Check that every fixed leaf belongs to the preset or to a kind that is searched.

    Args:
        preset: the preset with its fixed leaves.
        fixed: leaf -> value.
        kinds: section -> searched kinds.
        place: name of the study file, for messages.

    Raises:
        SpecError: no such kind has the leaf, or its value is invalid.
    """
    for leaf, value in fixed.items():
        section, _, field = leaf.partition(".")
        if field == "kind":
            continue
        offered = kinds.get(section, [name_of(SECTIONS[section], getattr(preset, section))])
        having = [SECTIONS[section][kind] for kind in offered if field in _names(SECTIONS[section][kind])]
        if not having:
            rule = f"no {section} of this study has it ({', '.join(offered)})"
            raise SpecError(f"{place}: {named(leaf)}", rule, remedy=f"fix {section}.kind too, or leave it out")
        for kind in having:
            build(kind, {field: value}, f"{place}: {section}")


def fields_of(fixed: Mapping[str, Any], section: str, kind: type) -> dict[str, Any]:
    """The fixed values of a section, for the fields of one kind: field -> value."""
    own = {leaf.partition(".")[2]: value for leaf, value in fixed.items() if leaf.partition(".")[0] == section}
    return {name: value for name, value in own.items() if name in _names(kind)}


def _names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}
