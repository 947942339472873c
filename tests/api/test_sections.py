"""A key of a study file has one value, whichever argument gives it, and none is lost."""

import pytest
from asked import fails

from dfkd_tune.api.sections import sections
from dfkd_tune.errors import SpecError


@pytest.mark.parametrize(
    ("given", "arguments", "fixed", "tree"),
    [
        (
            {"study": {"seed": 1, "name": "pump"}},
            {"study.seed": None, "study.name": None, "study.trials": 4},
            None,
            {"study": {"seed": 1, "name": "pump", "trials": 4}},
        ),
        ({"budget": {"steps": 5}}, {"budget.steps": 5, "budget.batch": None}, None, {"budget": {"steps": 5}}),
        (
            {"student": {"kind": "mlp"}},
            {"student.max_parameters": 9},
            {"student": {"width": 3}, "alpha": {"value": 0.5}, "bound.kind": "none"},
            {
                "student": {"kind": "mlp", "max_parameters": 9, "width": 3},
                "alpha": {"value": 0.5},
                "bound.kind": "none",
            },
        ),
        ({"study": {"seed": None}, "budget": {}, "student": None}, {"search": None, "preset": None}, {}, {}),
        ({}, {"search": {}, "sampler": "tpe"}, None, {"search": {}, "sampler": "tpe"}),
    ],
    ids=["a section alone", "the same value twice", "a section and its parts", "nothing", "an empty space"],
)
def test_the_sections_hold_what_was_given(given, arguments, fixed, tree):
    before = repr((given, fixed))
    assert sections("tune", given, arguments, fixed) == tree
    assert repr((given, fixed)) == before


@pytest.mark.parametrize(
    ("given", "arguments", "fixed", "place", "told"),
    [
        ({"budget": {"steps": 5}}, {"budget.steps": 6}, None, "steps", "has two values, 5 in budget and 6 in steps"),
        (
            {"study": {"trials": 5}},
            {"study.trials": 6},
            None,
            "n_trials",
            "has two values, 5 in study and 6 in n_trials",
        ),
        (
            {},
            {"student.max_parameters": 5},
            {"student": {"max_parameters": 6}},
            "student.max_parameters",
            "5 in student and 6 in fixed",
        ),
        (
            {"student": {"width": 5}},
            {},
            {"student": {"width": 6}},
            "student.width",
            "has two values, 5 in student and 6 in fixed",
        ),
        ({}, {}, {"teacher": "x"}, "fixed['teacher']", "is no leaf or section of a recipe; known sections: student"),
        ({}, {}, {"budget": {"steps": 5}}, "fixed['budget']", "is no leaf or section of a recipe"),
    ],
)
def test_two_values_and_other_sections_are_refused(given, arguments, fixed, place, told):
    with fails(f"tune: {place}: ", told, kind=SpecError):
        sections("tune", given, arguments, fixed)
