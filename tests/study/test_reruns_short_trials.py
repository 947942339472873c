"""Trials that train a share of the steps: the best recipes and the baseline train all of them, and only such students are promoted."""

import json

import pytest
from rerun_studies import names_of
from whole_studies import run

from dfkd_tune.errors import StudyMismatch
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import page, recorded
from dfkd_tune.reporting.seed_noise import completed
from dfkd_tune.reporting.summary_text import questions
from dfkd_tune.reporting.terminal_summary import table
from dfkd_tune.search.attributes import RECIPE, StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.tracking.run_lookup import find_run, parent_run

pytestmark = pytest.mark.usefixtures("undrawn")

ABOUT = {"trials": 4, "population": 2, "leaders": 2, "reruns": 2, "budget": {"steps": 40, "trial_share": "25%"}}


@pytest.fixture(scope="module")
def short(store, tiny):
    return run(tiny("short-trials", **ABOUT), store)


def test_trials_train_a_share_of_what_the_best_recipes_and_the_baseline_train(store, short):
    trials, again, untuned = (
        [r.data.params["steps"] for r in store.runs("short-trials", kind)] for kind in ("trial", "rerun", "baseline")
    )
    assert ({*trials}, {*again}, untuned) == ({"10"}, {"40"}, ["40"])
    (parent,) = store.runs("short-trials", "study")
    assert (parent.data.params["steps"], parent.data.params["trial_steps"]) == ("40", "10")


def test_the_promoted_student_trained_all_steps(store, short):
    assert short.promoted.run in names_of(store, "short-trials") or short.promoted.trial is None
    assert find_run(store.tracking, "short-trials").data.params["steps"] == "40"


def test_seed_noise_is_between_students_of_as_many_steps(store, short):
    study = load_study(store.storage, "short-trials")
    known = StudyRecord.of(study)
    assert known.rerun_length == 4 and find(study).noise is not None
    recipes = [json.loads(trial.user_attrs[RECIPE]) for trial in study.trials if RECIPE in trial.user_attrs]
    assert {recipe["steps"] for recipe in recipes} == {10}


def test_a_resume_with_another_share_is_refused(store, tiny, short):
    other = tiny("short-trials", **ABOUT | {"budget": {"steps": 40, "trial_share": 1}})
    with pytest.raises(StudyMismatch, match=r"budget.trial_share: 0.25 -> 1"):
        run(other, store)


def test_reruns_are_added_to_a_study_of_whole_trials_if_its_trials_stay_whole(store, tiny):
    about = {"trials": 2, "population": 2, "leaders": 1, "reruns": 0}
    run(tiny("short-later", **about, budget={"steps": 1_200}), store)
    with pytest.raises(
        StudyMismatch, match=r"study\.reruns: 0 -> 1 and so other steps of a trial \(budget\.trial_share"
    ):
        run(tiny("short-later", **about | {"reruns": 1}, budget={"steps": 1_200}), store)
    ended = run(tiny("short-later", **about | {"reruns": 1}, budget={"steps": 1_200, "trial_share": 1}), store)
    assert len(names_of(store, "short-later")) >= 1 and ended.progress.done == 2


def test_the_smallest_student_is_pruned_from_those_that_trained_all_steps(store, tiny):
    about = ABOUT | {"trials": 2, "leaders": 1, "within": "99%"}
    ended = run(tiny("short-smaller", **about), store)
    smallest = StudyRecord.of(load_study(store.storage, "short-smaller")).smallest
    assert smallest is not None and smallest["seeds"] == (2 if ended.promoted.trial is not None else 3)
    assert {r.data.params["steps"] for r in store.runs("short-smaller", "smaller")} == {"40"}


def test_the_report_tells_the_recipe_and_the_steps_as_they_were_trained(store, short):
    study = load_study(store.storage, "short-trials")
    assert find(study).recipe["steps"] == 40
    shown = page(find(study), recorded(store.tracking, find(study)))
    assert "steps: 40" in shown and "10 steps each; re-runs and baseline 40" in shown


def test_no_reader_takes_the_steps_of_trials_for_those_of_the_promoted_student(store, short):
    found = find(load_study(store.storage, "short-trials"))
    told = dict(questions(found))["How long do students train?"]
    assert told == "Trials train 10 steps. The best recipes are trained again with 40, as the untuned baseline is."
    assert str(table(completed(found.trials), "robust", found.shortened).caption).endswith(", 10 of 40 steps")
    note = parent_run(store.tracking, "short-trials").data.tags["mlflow.note.content"]
    assert told in note and "4 complete trials of 10 steps; " in note


def test_a_baseline_of_all_steps_takes_no_short_trial_s_place(store, tiny):
    """It is better than every short trial, whose recipe is run again all the same."""
    about = ABOUT | {"leaders": 1, "budget": {"steps": 400, "trial_share": "1%"}}
    run(tiny("short-led", **about), store)
    known = StudyRecord.of(load_study(store.storage, "short-led"))
    best = min(store.trials("short-led"), key=lambda trial: trial.value)
    assert known.baseline < best.value
    assert {*known.reruns} == {"baseline", str(best.number)}


def test_who_takes_a_short_student_is_told(store, short, dfkd, tmp_path):
    told = "trial 1: it trained 10 of 40 steps, as trials do"
    for command in (["register", "short-trials", "--model", "short"], ["export", "short-trials", "--out", "s.pt2"]):
        taken = dfkd(*command, "--trial", 1, "--tracking-uri", store.tracking)
        assert taken.status == 0 and told in taken.out, taken.err
        if short.promoted.trial is not None:
            promoted = dfkd(*command, "--tracking-uri", store.tracking)
            assert promoted.status == 0 and "as trials do" not in promoted.out, promoted.err
