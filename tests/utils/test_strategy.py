"""A strategy is made of plain values: numbers as people write them, and every mistake by its field."""

from typing import Self

import pytest
import torch
from asked import fails
from pydantic import model_validator

from dfkd_tune.errors import SpecError
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import Stacked, build, kind_of, name_of, strategy


@strategy
class Pair:
    """Two numbers that belong together."""

    steps: int
    rate: float = 0.5
    word: str | None = None

    @model_validator(mode="after")
    def _rule(self) -> Self:
        if self.word == "long":
            raise ValueError("The rule " + "very " * 500 + "long")
        if self.steps < self.rate:
            raise ValueError("steps must be at least rate")
        return self


def test_whole_floats_are_whole_numbers():
    """YAML reads 2e4 as a float."""
    made = build(Pair, {"steps": 2e4}, "here")
    assert made.steps == 20_000 and type(made.steps) is int
    with fails("here.steps", "2.5", kind=SpecError):
        build(Pair, {"steps": 2.5}, "here")


@pytest.mark.parametrize(
    ("values", "place", "words"),
    [
        ({"step": 1}, "here.step", ["unknown key", "known keys: kind, steps, rate, word"]),
        ({}, "here.steps", ["required, but not given"]),
        ({"steps": "1"}, "here.steps", ["valid integer", "got '1'"]),
        ({"steps": 1, "rate": float("nan")}, "here.rate", ["finite", "got nan"]),
        ({7: 1}, "here", ["a key must be a word, got 7"]),
    ],
)
def test_a_mistake_is_told_by_its_field(values, place, words):
    with fails(f"{place}: ", *words, kind=SpecError):
        build(Pair, values, "here", beside=["kind"])


def test_a_rule_between_fields_is_told_without_the_values_and_shortened():
    with pytest.raises(SpecError) as refusal:
        build(Pair, {"steps": 0}, "here")
    assert (refusal.value.place, refusal.value.rule) == ("here", "steps must be at least rate")
    with pytest.raises(SpecError) as refusal:
        build(Pair, {"steps": 1, "word": "long"}, "here")
    assert refusal.value.rule.startswith("the rule very ") and len(refusal.value.rule) == 500


def test_a_name_and_its_kind_lead_to_each_other():
    registry = Registry("pairs", object, {"pair": Pair})
    assert kind_of(registry, "pair", "here") is Pair and name_of(registry, Pair(steps=1)) == "pair"
    for wrong in ("pear", 3, None):
        with fails("here: unknown kind", repr(wrong), "known: pair", kind=SpecError):
            kind_of(registry, wrong, "here")
    with pytest.raises(ValueError, match="Stacked is none of pair"):
        name_of(registry, Stacked([Pair(steps=1)], torch.zeros(1)))


def test_stacked_strategies_are_copied_and_not_changed():
    pairs = [Pair(steps=1, rate=rate) for rate in (0.25, 0.5, 1.0)]
    stacked = Stacked(pairs, torch.zeros(1, dtype=torch.float64))
    assert stacked.only(1).rate.tolist() == [[[0.5]]] and stacked.only(1).steps == 1
    assert stacked.replaced(steps=9).steps == 9 and stacked.steps == 1
    with pytest.raises(AttributeError, match="Stacked has no 'radius'"):
        _ = stacked.radius
