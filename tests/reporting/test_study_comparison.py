"""Comparisons of studies: what differs, how sure that is, and what cannot be compared."""

import math
from dataclasses import dataclass, field

import pytest
from asked import fails
from optuna.trial import TrialState, create_trial
from scipy.stats import ttest_ind

from dfkd_tune.errors import StudyMismatch
from dfkd_tune.reporting.findings import Findings
from dfkd_tune.reporting.study_comparison import compare_studies
from dfkd_tune.search.ranking import run_name


@dataclass
class Recorded:
    """A study as its findings read it."""

    study_name: str
    user_attrs: dict = field(default_factory=dict)


def made(name: str, *rmses: float, teacher="t", features="f", tier="T0", spec=None) -> Findings:
    """The findings of a study whose best recipe has students of these errors; none makes a study without a trial."""
    trials = []
    if rmses:
        told = {"rmse": rmses[0], "parameters": 50.0}
        trials = [create_trial(value=rmses[0], user_attrs=told, state=TrialState.COMPLETE)]
        trials[0].number = 0
    attributes = {
        "identity": {"teacher": teacher, "features": features},
        "reruns": {"0": {run_name(0, i): [rmse, rmse] for i, rmse in enumerate(rmses[1:], 1)}},
        "spec": spec or {},
        "promoted": {"trial": 0, "run": "trial-0000", "rmse": rmses[0]} if rmses else None,
    }
    return Findings(
        study=Recorded(name, attributes),
        teacher="t.pt2",
        tier=tier,
        objective="rmse",
        trials=trials,
        counts={"complete": len(trials)},
        noise=None,
        rivals=(),
        comparisons=(),
        size=None,
        baseline=None,
        baseline_rmse=None,
        promoted=attributes["promoted"],
        weighed=None,
    )


A = (0.100, 0.104, 0.098)


@pytest.mark.parametrize("factor", [1.01, 1.03, 1.05, 1.08, 1.12, 1.3])
@pytest.mark.parametrize("b", [A, (0.100, 0.120, 0.090), (0.100, 0.101)])
def test_the_verdict_is_that_of_a_test_of_means(factor, b):
    """Student's two-sample test of the log errors with pooled variance, which few seeds make strict."""
    b = [factor * value for value in b]
    found = compare_studies([made("a", *A), made("b", *b)])
    differs = ttest_ind([math.log(v) for v in A], [math.log(v) for v in b]).pvalue < 0.05
    assert ("does not exceed seed noise" in found.verdict) == (not differs)


def test_the_interval_holds_the_mean_and_narrows_with_seeds(finished):
    two, six = (compare_studies([made("a", *(A * n)[: 2 * n]), made("b", 0.2, 0.21)]).studies[0] for n in (1, 3))
    for each in (two, six):
        assert each.low < each.mean < each.high
        assert each.mean == pytest.approx(math.sqrt(each.low * each.high))
    assert math.log(six.high / six.low) < math.log(two.high / two.low)
    assert (two.seeds, six.seeds) == (2, 6)


def test_the_best_is_first_and_settings_that_differ_are_told():
    search = {"optimizer.lr": {"low": 1e-4, "high": 1e-2}}
    one = made("one", 0.2, spec={"study": {"name": "one", "trials": 9}, "budget": {"steps": 5}})
    two = made("two", 0.1, spec={"study": {"name": "two", "trials": 9}, "budget": {"steps": 6}, "search": search})
    found = compare_studies([one, two])
    assert [each.name for each in found.studies] == ["two", "one"]
    assert found.settings == {
        "budget.steps": {"one": 5, "two": 6},
        "search.optimizer.lr": {"one": None, "two": search["optimizer.lr"]},
    }
    assert found.noise is None and "seed noise" in found.verdict and found.studies[0].low is None
    assert found.plain()["studies"][0]["name"] == "two"


def test_trials_differ_by_the_steps_that_they_train_and_not_by_who_said_so():
    def of(name: str, trial_steps: int, **budget):
        found = made(name, 0.1, spec={"budget": budget})
        space = {"preset": {"steps": 4_000}, "trial_steps": trial_steps}
        found.study.user_attrs["identity"]["space"] = space
        return found

    said, left, other = of("said", 1_000, trial_share=0.25), of("left", 1_000), of("other", 400, trial_share=0.1)
    assert compare_studies([said, left]).settings == {}
    assert compare_studies([left, other]).settings == {"trial_steps": {"left": 1_000, "other": 400}}


def test_what_does_not_compare_is_refused_with_why():
    one = made("one", 0.1)
    for other, words in (
        (made("two", 0.1, teacher="other"), "different teachers"),
        (made("two", 0.1, features="other", tier="T3"), "(tiers T0 and T3)"),
        (made("two", 0.1, features="other"), "different declared inputs (both of tier T0)"),
    ):
        with fails("studies 'one' and 'two'", words, "cannot be compared", kind=StudyMismatch):
            compare_studies([one, other])
    with fails("study 'two'", "no complete trial", kind=StudyMismatch):
        compare_studies([one, made("two")])


def test_a_perfect_student_is_compared(finished):
    """A linear student of a linear teacher may have no error at all."""
    found = compare_studies([made("a", 0.0, 0.0), made("b", 0.1, 0.11)])
    assert found.studies[0].name == "a" and found.studies[0].mean < 1e-300
