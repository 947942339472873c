"""What the trials of a study say: which choice is better, how sure that is, how much is noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_trials import LEAF, numbered, of, trial
from optuna.trial import TrialState

from dfkd_tune.reporting.findings import compare, front, size_effect
from dfkd_tune.reporting.summary_text import winner


def test_a_choice_whose_trials_all_are_better_won_for_sure():
    found = compare(of(direct=[1.0, 1.1, 1.2], gaussian=[2.0, 2.1, 2.3, 2.2]), LEAF, noise=0.01)
    assert [side.choice for side in found.sides] == ["direct", "gaussian"]
    assert found.verdict == "sure" and found.sides[0].chance == 1.0
    assert found.margin == pytest.approx(0.5)
    assert "direct won: the objective of its best trial is 50 % lower than the best of gaussian" in winner(found)


@pytest.mark.parametrize(
    ("trials", "noise", "why"),
    [
        (of(direct=[1.0, 1.5, 1.9], gaussian=[1.1, 1.2, 1.3]), 0.0, "it has the best trial in only"),  # one lucky trial
        (
            of(direct=[1.0, 1.01, 1.02], gaussian=[1.03, 1.04, 1.05]),
            0.5,
            "it has the best trial in only",
        ),  # noise drowns it
        (of(direct=[1.0, 1.1, 1.2], gaussian=[2.0]), 0.01, "gaussian has only 1 complete trial"),
        (of(direct=[1.0, 1.1, 1.2], gaussian=[2.0, 2.1, 2.2]), None, "seed noise is unknown"),
    ],
)
def test_what_is_not_sure_is_not_called_so(trials, noise, why):
    found = compare(trials, LEAF, noise)
    assert found.verdict == "not sure"
    assert winner(found).startswith("Not sure.") and why in winner(found)


def test_a_choice_without_a_rival_is_not_compared():
    assert compare(of(direct=[1.0, 2.0]), LEAF, 0.1) is None
    assert compare(of(direct=[1.0, 2.0]), "bound.kind", 0.1) is None


def test_pruned_trials_are_counted_with_their_choice():
    pruned = [trial(math.nan, "gaussian", TrialState.PRUNED) for _ in range(2)]
    found = compare(numbered([*of(direct=[1.0, 1.1], gaussian=[2.0]), *pruned]), LEAF, 0.1)
    assert {side.choice: side.pruned for side in found.sides} == {"direct": 0, "gaussian": 2}


def test_size_is_told_within_generators():
    """A law of the square root, with one generator twice as bad and made of large students."""
    small = [trial(p**-0.5, "direct", parameters=float(p)) for p in (50, 100, 200, 400)]
    large = [trial(2 * p**-0.5, "gaussian", parameters=float(p)) for p in (400, 800, 1600, 3200)]
    found = size_effect(numbered([*small, *large]))
    assert found.change == pytest.approx(2**-0.5 - 1)
    assert found.sure and (found.smallest, found.largest) == (50, 3200)
    rng = np.random.default_rng(0)
    chance = [trial(math.exp(rng.standard_normal()), parameters=float(p)) for p in range(50, 250, 10)]
    assert not size_effect(numbered(chance)).sure
    assert size_effect(of(direct=[1.0] * 9)) is None  # of one size


def test_a_line_through_a_pair_of_sizes_is_no_finding():
    """Only one generator has two sizes, so that every resample would give the same line."""
    pair = [trial(1.0, "direct", parameters=100.0), trial(0.7, "direct", parameters=200.0)]
    alike = [trial(value, "gaussian", parameters=200.0) for value in (0.5, 0.6, 0.7, 0.8)]
    assert size_effect(numbered([*pair, *alike])) is None


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_nothing_beats_the_front(points):
    trials = numbered([trial(float(value), parameters=float(size)) for size, value in points])
    best = front(trials)
    at = {(t.user_attrs["parameters"], t.values[0]) for t in best}
    assert len(at) == len(best)
    for size, value in points:
        beaten = any((s <= size and v <= value) and (s, v) != (size, value) for s, v in points)
        assert ((size, value) in at) == (not beaten)
