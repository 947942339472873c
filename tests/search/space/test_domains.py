"""What a leaf is searched over: read from a study file and told again, and every mistake by its rule and value."""

import optuna
import pytest
from asked import fails
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.search.space.domains import domain, ends, plain, require_owner, suggest

GIVEN = {
    "generator.kind": ["gaussian", "direct"],
    "optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "alpha.value": {"low": 0, "high": 1},
    "student.width": {"low": 4.0, "high": 6e1, "log": True},
    "student.depth": [1, 2.0],
    "bound.threshold": [0.5, 2],
}


@pytest.mark.parametrize(("leaf", "value"), GIVEN.items(), ids=GIVEN)
def test_what_is_told_of_a_domain_is_the_domain(leaf, value):
    made = domain(leaf, value, "here")
    assert domain(leaf, plain(made), "there") == made
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    low, high = min(ends(made)), max(ends(made))
    found = {suggest(study.ask(), leaf, made) for _ in range(20)}
    assert all(low <= each <= high for each in found) and len(found) > 1


def test_numbers_have_the_type_of_their_field():
    assert domain("student.width", GIVEN["student.width"], "") == IntDistribution(4, 60, log=True)
    assert domain("student.depth", [1, 2.0], "").choices == (1, 2)
    assert [type(each) for each in domain("bound.threshold", [0.5, 2], "").choices] == [float, float]
    assert domain("alpha.value", {"low": 0, "high": 1}, "") == FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize(
    ("leaf", "value", "words"),
    [
        ("budget.steps", [1], ["unknown section 'budget'", "budgets are the same for all trials"]),
        ("generator.kind", "direct", ["must be a list of kinds, got 'direct'", "known: gaussian"]),
        ("generator.kind", ["direct", "direct"], ["choices must differ"]),
        ("optimizer.speed", [1.0], ["no optimizer has a field 'speed'", "known: kind, "]),
        ("optimizer.lr", [], ["needs at least one choice"]),
        ("optimizer.lr", 0.1, ["a list of choices or a mapping with low and high, got 0.1"]),
        ("optimizer.lr", {"low": 1.0, "high": 0.5}, ["low must be <= high, got 1 > 0.5"]),
        ("optimizer.lr", {"low": 0.0, "high": 0.5, "log": True}, ["low must be > 0 when log is true"]),
        ("optimizer.lr", {"low": -1.0, "high": 0.5}, ["greater than 0", "got -1.0"]),
        ("student.width", {"low": 1.5, "high": 3.0}, ["must be whole numbers, got 1.5"]),
        ("student.width", {"low": 0, "high": 3}, ["got 0"]),
        ("student.width", [4, 2.5], ["got 2.5"]),
    ],
)
def test_what_cannot_be_searched_is_told(leaf, value, words):
    with fails("study.yaml: search", *words, kind=SpecError):
        domain(leaf, value, "study.yaml: search")


def test_a_field_needs_a_kind_that_has_it():
    """The preset's kind, unless kinds are searched."""
    kinds = {"bound.kind": CategoricalDistribution(["none", "clip"])}
    require_owner("bound.threshold", PAPER, kinds, "here")
    require_owner("bound.kind", PAPER, {}, "here")
    none = {"bound.kind": CategoricalDistribution(["none"])}
    with fails("here: no searched bound has it (none)", "add its kind to search.bound.kind", kind=SpecError):
        require_owner("bound.threshold", PAPER, none, "here")
