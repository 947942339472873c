"""The student that is promoted is the best one of the recipe whose students are best on average."""

import math
import random

import optuna
import pytest

from dfkd_tune.search.attributes import BASELINE, IDENTITY, UNTUNED
from dfkd_tune.search.ranking import Candidate, Score, choose, rerun_names, run_name, top_candidates, wanted

pytestmark = pytest.mark.usefixtures("undrawn")


def trial_of(number: int | None, value: float) -> Candidate:
    """A trial, or the baseline, whose student has ten times its objective as RMSE."""
    return Candidate(number, value, 10 * value)


def again(number: int | None, *values: float | None) -> dict:
    """The re-runs of a trial, or of the baseline, as they are on record."""
    key = "baseline" if number is None else str(number)
    return {key: {run_name(number, k + 1): v and [v, 10 * v] for k, v in enumerate(values)}}


def test_a_lucky_trial_is_not_promoted():
    found = choose([trial_of(7, 0.1), trial_of(3, 0.2)], again(7, 0.5, 0.6) | again(3, 0.15, 0.25))
    assert (found.trial, found.run) == (3, "rerun-0003-1")
    assert (found.objective, found.rmse) == (0.15, 1.5)
    assert found.mean == pytest.approx(0.2)


def test_the_best_student_of_the_best_recipe_is_promoted():
    dice = random.Random(0)
    for _ in range(100):
        leading = [trial_of(number, dice.random()) for number in dice.sample([None, *range(6)], 4)]
        scores = {t.trial: [dice.random() for _ in range(dice.randint(0, 3))] for t in leading}
        reruns = {key: value for number, each in scores.items() for key, value in again(number, *each).items()}
        found = choose(leading, reruns)
        students = {t.trial: [t.objective, *scores[t.trial]] for t in leading}
        means = {number: sum(each) / len(each) for number, each in students.items()}
        assert found.trial == min(means, key=means.get)
        assert found.mean == pytest.approx(means[found.trial])
        assert found.objective == min(students[found.trial])
        assert found.run == run_name(found.trial, students[found.trial].index(found.objective))


def test_without_reruns_the_best_trial_is_promoted():
    assert choose([], {}) is None
    found = choose([trial_of(2, 0.1), trial_of(0, 0.3)], {})
    assert (found.trial, found.run, found.objective, found.mean) == (2, "trial-0002", 0.1, 0.1)


def test_a_recipe_that_diverges_is_the_last_choice():
    leading = [trial_of(2, 0.1), trial_of(0, 0.3), trial_of(1, 0.4)]
    found = choose(leading, again(2, 0.1, None) | again(0, 0.3) | again(1, 0.4))
    assert found.trial == 0
    found = choose(leading, again(2, 0.05, None) | again(0, None) | again(1, None))
    assert (found.trial, found.run, found.mean) == (2, "rerun-0002-1", math.inf)


def test_students_with_fewer_rows_do_not_decide_beside_those_with_all():
    early, late = Candidate(3, 0.1, 1.0, 240), Candidate(7, 0.3, 3.0, 264)
    reruns = {
        "3": {"rerun-0003-1": [0.05, 0.5, 264], "rerun-0003-2": [0.5, 5.0, 400], "rerun-0003-3": [0.7, 7.0, 400]},
        "7": {"rerun-0007-1": [0.4, 4.0, 400], "rerun-0007-2": [0.2, 2.0, 400]},
    }
    found = choose([early, late], reruns)
    assert (found.trial, found.run, found.rows) == (7, "rerun-0007-2", 400) and found.mean == pytest.approx(0.3)
    assert choose([early, late], {}).run == "trial-0003"


def test_a_student_without_a_committee_does_not_decide_beside_those_that_had_one():
    first, second = Candidate(3, 0.9, 9.0, 400), Candidate(7, 0.5, 5.0, 400)
    reruns = {
        "3": {"rerun-0003-1": [0.2, 2.0, 400, 8], "rerun-0003-2": [0.4, 4.0, 400, 8]},
        "7": {"rerun-0007-1": [0.4, 4.0, 400, 8], "rerun-0007-2": [0.3, 3.0, 264, 8]},
    }
    found = choose([first, second], reruns)
    assert (found.trial, found.run) == (3, "rerun-0003-1") and found.mean == pytest.approx(0.3)
    alone = choose([first, second], {"3": {"rerun-0003-1": [0.2, 2.0, 400]}, "7": {"rerun-0007-1": [0.4, 4.0, 400]}})
    assert alone.trial == 7 and alone.mean == pytest.approx(0.45)


def test_a_short_trial_does_not_decide_beside_its_reruns():
    leading = [Candidate(0, 0.1, 0.1, short=True), Candidate(1, 0.3, 0.3, short=True)]
    reruns = {"0": {"a": [0.2, 0.2], "b": [0.4, 0.4]}, "1": {"c": [0.25, 0.25]}}
    found = choose(leading, reruns)
    assert (found.trial, found.run, found.mean) == (1, "c", 0.25)
    assert choose(leading, reruns | {"1": {"c": None}}).run == "a"
    assert choose(leading, {}).run == run_name(0)


def test_a_recipe_whose_students_with_all_rows_diverge_keeps_its_first():
    leading = [Candidate(3, 0.1, 1.0, 240)]
    found = choose(leading, {"3": {"rerun-0003-1": Score(math.inf, math.inf, 264).tree()}})
    assert (found.run, found.rows, found.mean) == ("trial-0003", 240, math.inf)


@pytest.mark.parametrize(
    "score",
    [
        Score(0.5, 2.0),
        Score(0.5, 2.0, 264),
        Score(0.5, 2.0, 264, 8),
        Score(math.inf, math.inf),
        Score(math.inf, math.inf, 9),
        Score(math.inf, math.inf, 9, 3),
    ],
)
def test_a_score_is_read_as_it_was_recorded(score):
    assert Score.of(score.tree()) == score


def test_reruns_with_fewer_rows_are_made_anew_under_names_of_their_own():
    leading, reruns = (
        [Candidate(3, 0.1, 1.0, 264), Candidate(7, 0.3, 3.0, 264)],
        {"3": {"rerun-0003-1": [0.5, 5.0, 264]}},
    )
    assert [name for _, name in wanted(leading, 1, reruns, 264)] == ["rerun-0007-1"]
    assert [name for _, name in wanted(leading, 1, reruns, 400)] == ["rerun-0003-2", "rerun-0007-1"]
    grown = {"3": {**reruns["3"], "rerun-0003-2": [0.5, 5.0, 400]}}
    assert [name for _, name in wanted(leading, 1, grown, 400)] == ["rerun-0007-1"]
    assert rerun_names(leading, 1, grown, 400) == rerun_names(leading, 1, reruns, 400)  # while they are made


def test_reruns_with_a_smaller_committee_are_made_anew_and_the_baseline_has_none():
    leading = [Candidate(3, 0.1, 1.0, 264), Candidate(None, 0.3, 3.0, 264)]
    reruns = {"3": {"rerun-0003-1": [0.5, 5.0, 264, 2]}, BASELINE: {"rerun-baseline-1": [0.5, 5.0, 264]}}
    assert [name for _, name in wanted(leading, 1, reruns, 264, 7)] == ["rerun-0003-2"]
    for committee in (2, 1, 0):  # a student that is lost since takes no re-run away
        assert wanted(leading, 1, reruns, 264, committee) == []
    assert [name for _, name in wanted(leading, 1, reruns, 300, 0)] == ["rerun-0003-2", "rerun-baseline-2"]


@pytest.mark.parametrize(
    ("untuned", "count", "leading"), [(0.1, 1, [None, 1]), (0.25, 2, [1, None, 0]), (0.25, 1, [1])]
)
def test_the_baseline_takes_no_trial_s_place(untuned, count, leading):
    study = optuna.create_study()
    for value in (0.3, 0.2):
        study.add_trial(optuna.create_trial(value=value, user_attrs={"rmse": value}))
    study.set_user_attr(IDENTITY, {"space": {"trial_steps": 10, "preset": {"steps": 40}}})
    assert [one.trial for one in top_candidates(study, count)] == sorted([0, 1], key=lambda k: -k)[:count]
    study.set_user_attr(BASELINE, untuned)
    study.set_user_attr(UNTUNED, {"rmse": untuned})
    found = top_candidates(study, count)
    assert [one.trial for one in found] == leading
    assert [one.short for one in found] == [number is not None for number in leading]
    assert choose(found, again(1, 0.05, 0.06) | again(None, untuned, untuned)).trial == 1
