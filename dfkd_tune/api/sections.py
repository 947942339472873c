"""The sections of a study file from the arguments of a call: a key has one value, and the recipe's leaves stay in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfkd_tune.api.error_words import KEYS, ONE_STUDENT
from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.utils.quoting import quoted

OF_STUDIES = {
    "total_queries": ("is the total of a study", "use tune, with n_trials=1 for one"),
    "trial_share": (
        "is for trials whose recipes a study trains again",
        "leave it out: steps is how long a student trains",
    ),
}
"""Key of the section ``budget`` that only a whole study has -> why a single student has none, and what to do."""


def require_single(function: str, tree: Mapping[str, Any]) -> None:
    """Refuse what only a whole study has.

    Args:
        function: public name of the function that was called, which trains single students.
        tree: the study file that the call describes.

    Raises:
        SpecError: for the first such key.
    """
    for key, (rule, remedy) in OF_STUDIES.items():
        if (tree.get("budget") or {}).get(key) is not None:
            raise SpecError(f"{function}: budget.{key}", rule, remedy=remedy)


def sections(
    function: str,
    given: Mapping[str, Mapping[str, Any] | None],
    arguments: Mapping[str, Any],
    fixed: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The study file that a call describes, without teacher and features.

    Args:
        function: public name of the function that was called, for messages.
        given: section -> the mapping that was given for it; None, and keys that are None, are left out.
        arguments: key of a study file, with its section, -> value of the argument that sets it; None values are left out.
        fixed: leaf, or section of the recipe, -> value of every trial.

    Raises:
        SpecError: a key has two values, or ``fixed`` holds what is no part of the recipe.
    """
    tree = {name: _known(keys) for name, keys in given.items() if keys}
    for place, value in arguments.items():
        section, _, key = place.partition(".")
        if value is not None and key:
            argument = (KEYS | ONE_STUDENT).get(place, place)
            _put(tree, place, value, f"{function}: {argument}", argument)
        elif value is not None:
            tree[section] = value
    for place, value in (fixed or {}).items():
        if place.partition(".")[0] not in SECTIONS:
            remedy = f"known sections: {', '.join(SECTIONS)}"
            raise SpecError(f"{function}: fixed[{place!r}]", "is no leaf or section of a recipe", remedy=remedy)
        if isinstance(tree.get(place), dict) and isinstance(value, Mapping):
            for key, held in _known(value).items():
                _put(tree, f"{place}.{key}", held, f"{function}: {place}.{key}", "fixed")
        else:
            tree[place] = value
    return {place: value for place, value in tree.items() if value != {} or place not in given}


def _known(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _put(tree: dict[str, Any], key: str, value: Any, place: str, where: str) -> None:
    """Set a key of a section.

    Raises:
        SpecError: it has another value; the message names ``place``, and ``where`` the new value stands.
    """
    section, _, name = key.partition(".")
    before = tree.setdefault(section, {}).setdefault(name, value)
    if str(before) != str(value):
        rule = f"has two values, {quoted(before)} in {section} and {quoted(value)} in {where}"
        raise SpecError(place, rule, remedy="give one")
