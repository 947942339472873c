"""Recipes in words."""

import json

import optuna
import pytest
from made_trials import of

from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.summary_text import beside, queries, recipe_line, recipe_lines, trained_rows


def test_what_all_recipes_share_is_said_once():
    trials = of(direct=[1.0, 2.0], gaussian=[3.0])
    for made, preset in zip(trials, (PAPER, PAPER, ADVERSARIAL), strict=True):
        made.user_attrs["recipe"] = json.dumps(preset.tree())
    lines, alike = recipe_lines(trials)
    assert len(lines) == 3 and alike
    for line, each in zip(lines, trials, strict=True):
        told = {word.split()[0] for word in recipe_line(each).split(", ")}
        assert told == {word.split()[0] for word in filter(None, [*line.split(", "), *alike.split(", ")])}
    assert lines[0] == lines[1] != lines[2]
    assert recipe_lines(trials[:1])[1] == ""


def test_what_is_not_the_default_is_said():
    (trial,) = of(direct=[1.0])
    said = []
    for sections in ({}, {"checkpoint": {"kind": "last"}, "assistant": {"kind": "wider", "times": 3}}):
        trial.user_attrs["recipe"] = json.dumps(from_tree(sections, base=PAPER).tree())
        said.append(recipe_line(trial))
    assert said[1] == f"{said[0]}, last weights, wider 3"


@pytest.mark.parametrize(
    "sections",
    [
        {"assistant": {"kind": "wider", "times": 3, "share": 0.25}},
        {"assistant": {"kind": "wider", "times": 3, "rows": 700}},
        {"student": {"depth": 3}},
        {"student": {"activation": "relu"}},
        {"optimizer": {"weight_decay": 0.125}},
        {"steps": 77},
    ],
    ids=str,
)
def test_recipes_that_differ_in_one_leaf_are_told_apart_by_it(sections):
    base = from_tree({"assistant": {"kind": "wider", "times": 3}}, base=PAPER)
    trials = of(direct=[1.0, 2.0, 3.0])
    for made, recipe in zip(trials, (base, from_tree(sections, base=base), base), strict=True):
        made.user_attrs["recipe"] = json.dumps(recipe.tree())
    lines, alike = recipe_lines(trials)
    ((section, held),) = sections.items()
    leaf, value = [*held.items()][-1] if isinstance(held, dict) else (section, held)
    assert lines[0] == lines[2] != lines[1] and f"{leaf} {value}" in lines[1]
    assert ", " not in lines[1] and leaf not in alike  # nothing else differs


def test_a_large_width_is_told_in_full():
    trials = of(direct=[1.0, 2.0])
    for made, width in zip(trials, (10_001, 10_002), strict=True):
        made.user_attrs["recipe"] = json.dumps(PAPER.with_student(width=width).tree())
    assert recipe_lines(trials)[0] == ["mlp 10001", "mlp 10002"]


def grown(rows, now: int, untuned: int | None = None, promoted: int | None = None):
    """Findings of a study whose trials had so many rows."""
    study = optuna.create_study()
    for number, count in enumerate(rows):
        study.add_trial(
            optuna.create_trial(
                value=number + 1.0, user_attrs={"answered_rows": float(count), "rmse": 1.0, "parameters": 100.0}
            )
        )
    told = {
        "total_queries": 600,
        "answered_rows": now,
        "queries": {"certificate": 42, "round-2": 8, "round-10": 8, "prior": 160},
    }
    told |= {} if untuned is None else {"baseline": 0.5, "untuned": {"answered_rows": float(untuned), "rmse": 1.0}}
    told |= {} if promoted is None else {"promoted": {"trial": 0, "run": "trial-0000", "rows": promoted}}
    for name, value in told.items():
        study.set_user_attr(name, value)
    return find(study)


def test_rows_of_students_are_told_and_what_is_not_alike():
    told = trained_rows(grown([264, 240], 400, 400, 400))
    assert (
        told.startswith("Trials trained on 240 to 264 of 400 answered rows") and "the untuned baseline on 400" in told
    )
    assert "decide what is promoted, train on all of them" in told
    assert "The promoted student had fewer" in trained_rows(grown([264], 400, 400, 264))
    assert "preset" not in trained_rows(grown([264], 400)).partition(".")[0]
    assert find(optuna.create_study()).rows is None
    assert "asked between" in told and "asked between" not in trained_rows(grown([27], 27, 27, 27))
    assert beside(264, 264) == " and the same 264 answered rows" and beside(None, None) == ""
    assert "400 answered rows where the promoted student had 264" in beside(264, 400)


def test_parts_of_a_total_are_told_in_their_order():
    told = queries(grown([264], 400))
    assert "prior 160, round-2 8, round-10 8, certificate 42; 382 are left" in told
