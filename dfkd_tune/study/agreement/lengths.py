"""How long the students of a study train: trials a share of the steps, and the best recipes, which are trained again, all of them."""

from __future__ import annotations

from dfkd_tune.search.study_file import StudySpec

TRIAL_SHARE, SHARED_ROWS_SHARE = 0.25, 0.5
"""Share of the steps that a trial trains, unless the study file sets it; in a study with a total number of queries the second."""
LEAST_TRIAL_STEPS = 1_000
"""Steps below which trials are not shortened by default, as so short ones would not rank recipes."""


def needs_whole_trials(spec: StudySpec) -> bool:
    """Whether students of trials are results themselves: without re-runs, and on the front of a second objective."""
    return not spec.study.reruns or spec.study.pareto is not None


def trial_steps(spec: StudySpec) -> int:
    """Number of student updates in a trial."""
    steps, given = spec.budget.steps, spec.budget.trial_share
    if given is not None:
        return max(1, round(given * steps))
    if needs_whole_trials(spec):
        return steps
    usual = TRIAL_SHARE if spec.budget.total_queries is None else SHARED_ROWS_SHARE
    return min(steps, max(LEAST_TRIAL_STEPS, round(usual * steps)))


def has_short_trials(spec: StudySpec) -> bool:
    """Whether trials train fewer steps than the best recipes do when they are trained again."""
    return trial_steps(spec) < spec.budget.steps


def most_reruns(spec: StudySpec) -> int:
    """Number of re-runs, those of a baseline that ranks among the best recipes included."""
    return (min(spec.study.leaders, spec.study.trials) + 1) * spec.study.reruns


def whole_runs(spec: StudySpec) -> int:
    """About how many students train all steps, at most: re-runs, the baseline, and those in search of the smallest."""
    return most_reruns(spec) + 1 + spec.study.smaller_runs


def length(spec: StudySpec) -> float:
    """Steps of all students of a study, if none is pruned, over those of a trial."""
    return spec.study.trials + whole_runs(spec) * spec.budget.steps / trial_steps(spec)
