"""How much is noise of the seeds."""

import math

import numpy as np
import optuna
import pytest
from made_trials import of

from dfkd_tune.reporting.seed_noise import rivals, seed_noise
from dfkd_tune.search.attributes import BASELINE, PROMOTED, RERUNS, UNTUNED, StudyRecord


def test_noise_is_the_deviation_between_seeds():
    trials = of(direct=[1.0, 2.0, 3.0])
    again = {"0": {"a": [math.exp(0.2), 1.0]}, "1": {"b": [2.0 * math.exp(-0.2), 1.0], "c": None}}
    assert seed_noise(trials, StudyRecord({RERUNS: again})) == pytest.approx(0.2 / math.sqrt(2))
    assert seed_noise(trials, StudyRecord({})) is None


def test_short_trials_are_no_seeds_of_their_recipes():
    short = {"identity": {"space": {"trial_steps": 10, "preset": {"steps": 40}}}}
    again = {"0": {"a": [math.exp(0.2), 1.0], "b": [1.0, 1.0]}, "1": {"c": [5.0, 1.0]}}
    found = seed_noise(of(direct=[9.0, 2.0]), StudyRecord({RERUNS: again} | short))
    assert found == pytest.approx(0.2 / math.sqrt(2))


def known(promoted, **reruns) -> StudyRecord:
    study = optuna.create_study()
    study.set_user_attr(RERUNS, reruns)
    study.set_user_attr(PROMOTED, {"trial": promoted} if promoted != "nothing" else None)
    study.set_user_attr(BASELINE, 1.5)
    study.set_user_attr(UNTUNED, {"rmse": 1.5})
    return StudyRecord.of(study)


def again(*objectives) -> dict:
    return {str(k): None if value is None else [value, value] for k, value in enumerate(objectives)}


def test_recipes_whose_students_overlap_cannot_be_told_apart():
    trials = of(direct=[1.0, 1.02], gaussian=[1.9])
    near, far = rivals(trials, known(0, **{"0": again(1.01, 0.98), "1": again(0.99, 1.03), "2": again(2.0, 2.1)}))
    assert (near.trial, near.alike) == (1, True) and near.low < near.ratio < near.high
    assert (far.trial, far.alike) == (2, False) and far.ratio == pytest.approx(2.0, rel=0.02)


def test_the_intervals_cover_the_truth_as_often_as_they_say():
    """Two recipes that differ by 3 %, whose seeds differ by 5 %."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        one, other = np.exp(0.05 * rng.standard_normal((2, 3)) + [[0.0], [math.log(1.03)]])
        about = {"0": again(*one[1:]), "1": again(*other[1:])}
        (rival,) = rivals(of(direct=[one[0], other[0]]), known(0, **about))
        held += rival.low <= 1.03 <= rival.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_untuned_preset_is_a_rival():
    (rival,) = rivals(of(direct=[1.0]), known(0, **{"0": again(1.01), "baseline": again(1.52)}))
    assert rival.trial is None and rival.ratio == pytest.approx(1.5, rel=0.01)
    (rival,) = rivals(of(direct=[1.0]), known(None, **{"0": again(1.01), "baseline": again(1.52)}))
    assert rival.trial == 0 and rival.ratio == pytest.approx(1 / 1.5, rel=0.01)


@pytest.mark.parametrize(
    ("promoted", "reruns"),
    [
        ("nothing", {"0": again(1.0), "1": again(1.0)}),
        (0, {"0": again(1.0)}),
        (0, {"0": again(1.0), "1": again(None)}),
        (0, {"1": again(1.0)}),
    ],
)
def test_without_students_to_compare_there_is_no_rival(promoted, reruns):
    assert rivals(of(direct=[1.0, 1.1]), known(promoted, **reruns)) == []
