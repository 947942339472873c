"""A recipe from plain values: what is left out comes from its base, and mistakes are named."""

import dataclasses
from functools import partial

import pytest
from asked import fails as told
from pydantic import ValidationError

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.presets import FAITHFUL, PRESETS
from dfkd_tune.recipes.recipe import Recipe, from_leaves, from_tree

fails = partial(told, kind=SpecError)


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_is_its_tree_and_its_leaves(name):
    one = dataclasses.replace(PRESETS[name], teacher_rows=7)
    assert from_tree(one.tree()) == from_leaves(one.leaves()) == one
    assert from_leaves({}, base=one) == from_tree({}, base=one) == one


def test_values_of_the_base_hold_within_a_kind_and_not_for_another():
    same = from_tree({"refiner": {"rows": 300}, "initializer": {"kind": "neurons"}}, base=FAITHFUL)
    assert same == dataclasses.replace(FAITHFUL, refiner=dataclasses.replace(FAITHFUL.refiner, rows=300))
    other = from_tree({"input_bound": {"kind": "l2"}}, base=FAITHFUL)
    assert FAITHFUL.input_bound.radius == 0.3 and other.input_bound.radius == 1.0  # the default of l2


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([], ["r: must be a mapping, got []"]),
        (
            {"generatr": {}},
            ["r.generatr: unknown key", "student, initializer, generator", "steps, batch, teacher_rows"],
        ),
        ({"generator": "direct"}, ["r.generator: must be a mapping, got 'direct'"]),
        ({"generator": {"kind": "dirct"}}, ["r.generator.kind: unknown kind 'dirct'", "known: gaussian, uniform"]),
        ({"bound": {"threshold": 0.1}}, ["r.bound.threshold: unknown key", "known keys: kind"]),
        ({"steps": 0}, ["r.steps", "greater than or equal to 1", "got 0"]),
        ({"batch": 7}, ["r.batch", "multiple of 2", "got 7"]),
        ({"teacher_rows": 0.5}, ["r.teacher_rows", "got 0.5"]),
    ],
)
def test_mistakes_are_named_by_section_and_field(tree, words):
    with fails(words[0].partition(":")[0], *words):
        from_tree(tree, "r")


def test_an_object_of_no_registry_is_no_strategy():
    class Mine(type(Recipe().loss)):
        """A loss that no name stands for."""

    with pytest.raises(ValidationError, match="loss must be one of mse, sobolev"):
        Recipe(loss=Mine())


def test_a_student_may_be_changed_alone():
    wider = FAITHFUL.with_student(width=7)
    assert wider.student.width == 7 and dataclasses.replace(wider, student=FAITHFUL.student) == FAITHFUL
