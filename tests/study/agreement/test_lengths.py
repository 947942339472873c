"""Trials train a share of the steps where the best recipes are trained again."""

import pytest

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.agreement.lengths import (
    LEAST_TRIAL_STEPS,
    has_short_trials,
    length,
    most_reruns,
    trial_steps,
    whole_runs,
)


def spec(**about):
    return parse_spec({"teacher": "teacher.pt2"} | about, "lengths")


@pytest.mark.parametrize(
    ("about", "steps"),
    [
        ({}, 5_000),
        ({"budget": {"total_queries": 1_000}}, 10_000),
        ({"study": {"reruns": 0}}, 20_000),
        ({"study": {"pareto": "parameters"}}, 20_000),
        ({"budget": {"steps": 2_400}}, LEAST_TRIAL_STEPS),
        ({"budget": {"steps": 600}}, 600),
        ({"budget": {"steps": 600, "trial_share": "10%"}}, 60),
        ({"budget": {"steps": 3, "trial_share": 0.1}}, 1),
        ({"budget": {"steps": 4_000, "trial_share": 1}}, 4_000),
    ],
)
def test_a_trial_has_a_share_of_the_steps(about, steps):
    given = spec(**about)
    assert trial_steps(given) == steps and has_short_trials(given) == (steps < given.budget.steps)


def test_the_length_of_a_study_counts_all_its_students():
    given = spec(study={"trials": 20, "leaders": 3, "reruns": 2}, budget={"steps": 8_000})
    assert most_reruns(given) == (3 + 1) * 2  # the baseline may rank among the best
    assert whole_runs(given) == most_reruns(given) + 1
    assert length(given) == 20 + 4 * (4 * 2 + 1)
    assert length(spec(study={"trials": 2, "reruns": 0})) == 2 + 1
