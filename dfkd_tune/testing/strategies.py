"""Conformance tests of every strategy of every section."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.recipe import SECTIONS, Recipe, from_leaves, from_tree
from dfkd_tune.testing.laws import check_laws
from dfkd_tune.testing.problems import KNOWN, make_problem, recipe, run, variants
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import Member
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.strategy import Stacked, structure

LIKE = torch.zeros(1, dtype=torch.float64)


def check_strategy(section: str, kind: str) -> None:
    """Check every law of a strategy.

    Args:
        section: section of a recipe, such as ``optimizer``.
        kind: registered name of the strategy in that section.
    """
    assert kind in SECTIONS[section], f"no {section} is called {kind!r}; known: {', '.join(SECTIONS[section])}"
    check_laws(LAWS, section, kind)


def is_a_frozen_dataclass_with_defaults(section: str, kind: str) -> None:
    """A strategy is a frozen dataclass and can be made without arguments."""
    item = SECTIONS[section][kind]()
    assert dataclasses.is_dataclass(item) and item == SECTIONS[section][kind]()
    try:
        setattr(item, next((f.name for f in dataclasses.fields(item)), "anything"), 1)
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError(f"{kind} can be changed: decorate it with dfkd_tune.utils.strategy.strategy")


def round_trips(section: str, kind: str) -> None:
    """YAML and flat leaves restore an equal recipe."""
    for item in variants(SECTIONS[section][kind]):
        one = Recipe(**{section: item})
        tree = yaml_io.parse(yaml_io.dump(one.tree()), "here", SpecError)
        assert from_tree(tree) == one == from_leaves(one.leaves())
        assert one.leaves()[f"{section}.kind"] == kind


def refuses_what_it_does_not_know(section: str, kind: str) -> None:
    """An unknown key is an error that lists the known ones."""
    known = ", ".join(("kind", *(field.name for field in dataclasses.fields(SECTIONS[section][kind]))))
    said = _refusal(section, {"kind": kind, "colour": 1})
    assert said == f"here.{section}.colour: unknown key; known keys: {known}", said


def refuses_wrong_types(section: str, kind: str) -> None:
    """A value of the wrong type is an error of one line that names the field."""
    hints = get_type_hints(SECTIONS[section][kind])
    for field in dataclasses.fields(SECTIONS[section][kind]):
        hint = hints[field.name]
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        wrong: list[Any] = [{}, [1]]
        wrong += ["a word", "1", True, math.nan, math.inf] if {int, float} & {*options} else [3]
        wrong += [] if float in options else [1.5]
        for value in wrong:
            said = _refusal(section, {"kind": kind, field.name: value})
            assert said.startswith(f"here.{section}.{field.name}") and "\n" not in said, said


def _refusal(section: str, values: dict[str, Any]) -> str:
    try:
        from_tree({section: values}, "here")
    except SpecError as error:
        return str(error)
    raise AssertionError(f"{values} is taken")


def floats_are_no_structure(section: str, kind: str) -> None:
    """Members that differ only in floats share a batched pass, which uses the floats of each member."""
    cls = SECTIONS[section][kind]
    hints, one = get_type_hints(cls), cls()
    floats = [field.name for field in dataclasses.fields(cls) if hints[field.name] is float]
    other = dataclasses.replace(one, **{name: math.nextafter(getattr(one, name), math.inf) for name in floats})
    assert structure(one) == structure(other) and (one != other or not floats)
    stacked = Stacked([one, other], LIKE)
    for name in floats:
        assert getattr(stacked, name).tolist() == [[[getattr(one, name)]], [[getattr(other, name)]]]


def distills(section: str, kind: str) -> None:
    """A student can be distilled with every variant of the strategy, and its errors are finite."""
    problem = make_problem(outputs=2, inputs=KNOWN)
    for item in variants(SECTIONS[section][kind]):
        outcome = distill(problem, recipe(**{section: item}), seed=0)
        assert outcome.failure is None and outcome.selection is not None, outcome.failure
        assert all(map(math.isfinite, outcome.selection.by_output))
        assert all(math.isfinite(value) for _, value in outcome.curve) and outcome.curve
        assert 0 < outcome.selection.nrmse < 1.5  # a constant student at the teacher's mean has 1


def repeats(section: str, kind: str) -> None:
    """The same seed gives the same student, whatever other random numbers were drawn in between."""
    problem, one = make_problem(), recipe(**{section: SECTIONS[section][kind]()})
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        (member,) = run(problem, Member("a", one, 0))
        found.append(member.result())
    for first, again in zip(*found, strict=True):
        torch.testing.assert_close(first, again, rtol=0, atol=0, msg="draw from the member's own stream alone")


def companions_change_nothing(section: str, kind: str) -> None:
    """A member's student does not depend on the members that train in the same pass, which differ in every float."""
    cls, problem = SECTIONS[section][kind], make_problem()
    hints, one = get_type_hints(cls), cls()
    floats = [field.name for field in dataclasses.fields(cls) if hints[field.name] is float]
    other = dataclasses.replace(one, **{name: 0.9 * getattr(one, name) for name in floats})
    recipes = [recipe(**{section: item}) for item in (one, other)]
    alone = [run(problem, Member(k, each, k))[0].result() for k, each in enumerate(recipes)]
    together = [member.result() for member in run(problem, *(Member(k, each, k) for k, each in enumerate(recipes)))]
    for mine, shared in zip(alone, together, strict=True):
        for first, again in zip(mine, shared, strict=True):
            torch.testing.assert_close(first, again, rtol=1e-7, atol=1e-9, msg="members of one pass mix")


LAWS: tuple[Callable[[str, str], None], ...] = (
    is_a_frozen_dataclass_with_defaults,
    round_trips,
    refuses_what_it_does_not_know,
    refuses_wrong_types,
    floats_are_no_structure,
    distills,
    repeats,
    companions_change_nothing,
)
