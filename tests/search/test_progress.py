"""Progress counts what has ended, never goes back, and estimates nothing before there is something to go by."""

import math

import optuna
import pytest
from made_trials import trial
from optuna.trial import TrialState

from dfkd_tune.search.attributes import BASELINE, IDENTITY, RERUNS, SMALLER, SMALLEST, UNTUNED
from dfkd_tune.search.progress import FinishedTrial, Progress, study_progress, totals
from dfkd_tune.search.ranking import pruned_name
from dfkd_tune.search.study_file import StudySection


def study_of(*trials) -> optuna.Study:
    study = optuna.create_study()
    study.add_trials(trials)
    return study


def running() -> optuna.trial.FrozenTrial:
    made = trial(0.0, state=TrialState.RUNNING)
    made.intermediate_values = {0: 0.75, 3: 0.5}
    return made


def test_states_are_counted_and_the_best_is_a_complete_trial():
    pruned = trial(0.0, state=TrialState.PRUNED, reason="among the worst")
    study = study_of(
        trial(0.5, seconds=2.0), pruned, trial(0.25, seconds=4.0), trial(0, state=TrialState.FAIL), running()
    )
    found = study_progress(study, StudySection(trials=8), before=1, seconds=90.0)
    assert (found.total, found.done, found.pruned, found.failed, found.running, found.ended) == (8, 2, 1, 1, 1, 4)
    assert (found.best, found.typical, found.pace, found.bests) == ((0.25, 2), 3.0, 2.0, [0.5, 0.25])
    assert found.finished_trials[1] == FinishedTrial(1, "PRUNED", None, "among the worst")
    (shown,) = found.running_trials
    assert (shown.key, shown.step, shown.rmse, shown.unit) == ("trial-0004", 3, 0.5, "rung")


def test_nothing_is_estimated_before_a_trial_is_complete():
    found = study_progress(study_of(running()), StudySection(trials=2), before=0, seconds=0.0)
    assert (found.best, found.typical, found.pace, found.left, found.bests, found.share) == (None,) * 4 + ([], 0.0)
    assert Progress(4, share=0.25, typical=1.0, seconds=30.0).left == pytest.approx(90.0)


def test_the_share_reaches_one_with_the_last_rerun():
    about, trials, shares = StudySection(trials=3, leaders=2, reruns=1), [trial(v) for v in (0.5, 0.3, 0.4)], []
    study = study_of()
    for each in trials:
        study.add_trial(each)
        shares.append(study_progress(study, about, 0, 1.0).share)
    for count in (1, 2):
        study.set_user_attr(RERUNS, {str(n): {f"rerun-{n:04d}-1": [0.5, 0.5]} for n in (1, 2)[:count]})
        found = study_progress(study, about, 0, 1.0)
        shares.append(found.share)
        assert found.reruns == (count, 2)
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    fewer = study_progress(study, StudySection(trials=1, reruns=0), 0, 1.0)  # a later call may ask for fewer
    assert (fewer.total, fewer.ended, fewer.share) == (3, 3, 1.0)


def test_a_baseline_of_all_steps_counts_for_the_share_of_short_trials():
    about, study = StudySection(trials=2, leaders=1, reruns=1), study_of()
    study.set_user_attr(IDENTITY, {"space": {"trial_steps": 10, "preset": {"steps": 40}}})
    study.add_trial(trial(0.5))
    assert study_progress(study, about, 0, 1.0).share == pytest.approx(1 / 10)
    study.set_user_attr(BASELINE, 0.4)
    assert study_progress(study, about, 0, 1.0).share == pytest.approx(5 / 10)
    assert study_progress(study, about, 1, 1.0).share == 0  # a session that goes on begins with both


def test_pruned_students_are_told_while_they_train_and_count_for_the_share():
    about = StudySection(trials=2, leaders=1, reruns=1, within=0.05)
    study = study_of(trial(0.5), trial(0.3))
    study.set_user_attr(RERUNS, {"1": {"rerun-0001-1": [0.3, 0.3]}})
    before = study_progress(study, about, 0, 1.0)
    assert before.reruns == (1, 1) and before.pruned_students is None
    shares, told = [before.share], []
    names = [pruned_name(1, f"w{width}", i) for width in range(about.pruned_students) for i in range(2)]
    for count in (0, 1, about.pruned_students, len(names)):
        other = {pruned_name(0, "w8", 0): None}  # of a recipe that was the best before
        study.set_user_attr(SMALLER, other | dict.fromkeys(names[:count]))
        found = study_progress(study, about, 0, 1.0, pruning=True)
        shares.append(found.share)
        told.append(found.pruned_students)
    most = about.pruned_students
    assert told == [(0, most), (1, most), (most, most), (2 * most, 2 * most)]
    assert shares == sorted(shares) and shares[0] == shares[1] < shares[2] < shares[3] == shares[4] == 1.0
    study.set_user_attr(SMALLER, dict.fromkeys(names[:3]))
    study.set_user_attr(SMALLEST, {"trial": 1})  # fewer than usual were enough
    after = study_progress(study, about, 0, 1.0)
    assert (after.share, after.pruned_students) == (1.0, None)


def test_totals_are_numbers_that_mlflow_takes():
    study = study_of(trial(0.5, teacher_rows=10), trial(0.25, teacher_rows=5))
    study.set_user_attr(BASELINE, math.inf)
    now = study_progress(study, StudySection(trials=2), 0, 1.0)
    assert totals(study, now) == {
        "trials": 2, "complete": 2, "pruned": 0, "failed": 0, "trial_teacher_rows": 15, "best": 0.25, "best_trial": 1
    }  # fmt: skip
    study.set_user_attr(BASELINE, 0.75)
    study.set_user_attr(UNTUNED, {"rmse": 0.7})
    assert totals(study, now).items() >= {"baseline": 0.75, "baseline_rmse": 0.7}.items()
