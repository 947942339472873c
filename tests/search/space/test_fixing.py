"""A study file fixes sections and leaves of the recipe plainly: every trial has them, and nothing searches them."""

import optuna
import pytest

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS, Target
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.search.space.defaults import STUDENTS, untuned
from dfkd_tune.search.space.search_space import DEFAULT, make_space
from dfkd_tune.search.study_file import as_tree, parse_spec
from dfkd_tune.students.kinds import STUDENTS as KINDS

SIZE = (Columns(4), 1)


def space(**keys):
    spec = parse_spec({"teacher": "t.pt2", **keys}, "s.yaml")
    assert parse_spec(as_tree(spec), "s.yaml").fixed == spec.fixed
    limit = spec.student.max_parameters
    return make_space(spec.recipe(PAPER), spec.search, SIZE, limit, "s.yaml: search", fixed=spec.fixed)


def suggested(made, trials=12):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [made.suggest(study.ask()) for _ in range(trials)]


def test_a_section_is_fixed():
    made = space(bound={"kind": "target", "threshold": 0.4})
    assert not any(leaf.startswith("bound.") for leaf in made.domains)
    bounds = {recipe.bound for recipe in suggested(made) if recipe.generator.uses_gap}
    assert bounds == {Target(threshold=0.4)}


def test_a_leaf_is_fixed_in_every_kind_that_has_it():
    made = space(**{"bound.threshold": 0.4}, search={"bound.kind": ["none", "clip", "target"]})
    found = [recipe.bound for recipe in suggested(made)]
    assert {type(bound).__name__ for bound in found} == {"Unbounded", "Clip", "Target"}
    assert {bound.threshold for bound in found if hasattr(bound, "threshold")} == {0.4}
    assert made.describe()["fixed"] == {"bound.threshold": 0.4}


def test_the_default_space_searches_the_rest():
    made = space(optimizer={"lr": 0.002}, student={"activation": "relu"})
    assert "optimizer.lr" not in made.domains and "student.width" in made.domains
    assert all(r.optimizer.lr == 0.002 and r.student.activation == "relu" for r in suggested(made))


@pytest.mark.parametrize("kind", GAP_BOUNDS)
def test_any_kind_is_fixed_beside_the_default_space(kind):
    made = space(bound={"kind": kind})
    found = {type(recipe.bound) for recipe in suggested(made) if recipe.generator.uses_gap}
    assert found == {GAP_BOUNDS[kind]}
    assert ("bound.threshold" in made.domains) == (kind != "none")


def test_a_width_is_fixed_below_a_limit():
    made = space(student={"max_parameters": 200, "width": 7})
    assert {recipe.student.width for recipe in suggested(made)} == {7}
    with pytest.raises(
        SpecError, match=r"^s\.yaml: student\.width: a student of width 70 has more than 200 parameters"
    ):
        space(student={"max_parameters": 200, "width": 70})


@pytest.mark.parametrize("kind", STUDENTS["window"])
@pytest.mark.parametrize("small", [False, True], ids=["one objective", "size too"])
def test_a_fixed_kind_of_student_has_the_widths_that_fit_it(kind, small):
    """Not those of the other kinds that the default space offers for a window."""
    size, limit = (Columns(24, "window", [8, 3]), 1), 100_000
    default, fixed = DEFAULT | {"student.kind": STUDENTS["window"]}, {"student.kind": kind}
    made = make_space(PAPER, None, size, limit, small=small, default=default, fixed=fixed)
    widest = KINDS[kind]().widest(*size, limit)
    width = made.domains["student.width"]
    assert width.high == widest and 1 <= width.low < widest
    assert {type(recipe.student) for recipe in suggested(made)} == {KINDS[kind]}
    assert all(width.low <= recipe.student.width <= widest for recipe in suggested(made))


def test_the_baseline_has_what_is_fixed():
    made = space(student={"activation": "relu"}, **{"optimizer.lr": 0.002})
    recipe = untuned("shallow", made)
    assert (recipe.student.activation, recipe.optimizer.lr) == ("relu", 0.002)


def test_a_bound_that_no_generator_uses_is_not_searched():
    made = space(generator={"kind": "gaussian"})
    assert not any(leaf.startswith(("bound.", "input_bound.")) for leaf in made.domains)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"bound": {"kind": "wall"}}, r"s\.yaml: bound\.kind: unknown kind 'wall'"),
        ({"bound": {"kind": "target", "threshold": -1}}, r"s\.yaml: bound\.threshold: .*greater than 0, got -1"),
        (
            {"bound": {"kind": "target", "height": 1}},
            r"s\.yaml: bound\.height: unknown key; known keys: kind, .*threshold",
        ),
        ({"bound": 3}, r"s\.yaml: bound: must be a mapping, got 3"),
        ({"bound": {"kind": "clip"}, "bound.kind": "clip"}, r"s\.yaml: bound\.kind: is given twice"),
        (
            {"bound": {"threshold": 1.0}, "search": {"bound.kind": ["none"]}},
            r"s\.yaml: bound\.threshold: no bound of this study has it \(none\); fix bound\.kind too",
        ),
        (
            {"bound": {"kind": "clip", "threshold": 1.0}, "search": {"bound.threshold": [1.0, 2.0]}},
            r"s\.yaml: search\.bound\.threshold: is fixed and searched",
        ),
        (
            {"student": {"colour": 1}},
            r"s\.yaml: student\.colour: unknown key; known keys: max_parameters, compression, kind",
        ),
        ({"optimizer.speed": 1}, r"s\.yaml: optimizer\.speed: unknown key; known keys: kind, .*lr"),
        (
            {"generator": {"kind": "gaussian"}, "bound": {"kind": "target"}},
            r"s\.yaml: bound\.kind: no generator of this study uses the gap \(gaussian\)",
        ),
        (
            {"search": {"generator.kind": ["gaussian", "skewed"], "input_bound.kind": ["linf", "l2"]}},
            r"s\.yaml: search\.input_bound\.kind: no generator of this study starts from prior rows",
        ),
        ({"wall": 1}, r"s\.yaml: wall: unknown key; known keys: study, teacher, .*bound"),
    ],
)
def test_what_cannot_be_fixed_is_told(keys, words):
    with pytest.raises(SpecError, match=f"^{words}"):
        space(**keys)
