"""The best recipes are run again before one is promoted: what is recorded, and that a resume repeats nothing."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rerun_studies import ABOUT, assert_reruns_settled, best_of, names_of, wanted
from safetensors.torch import load_file
from whole_studies import run

from dfkd_tune import register
from dfkd_tune.errors import Interrupted, NotFound
from dfkd_tune.search.attributes import RERUNS
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import run_name, top_candidates
from dfkd_tune.study import reruns, session
from dfkd_tune.tracking.run_lookup import find_run
from dfkd_tune.training.distill import distill_all
from dfkd_tune.utils.seeding import derive

pytestmark = pytest.mark.usefixtures("undrawn", "late_reruns")


@pytest.fixture(scope="module")
def promoted(store, tiny):
    return run(tiny("promoted", **ABOUT), store)


def student(run) -> dict:
    return load_file(Path(run.info.artifact_uri.removeprefix("file://")) / "student" / "student.safetensors")


def test_a_rerun_is_a_run(store, promoted):
    assert_reruns_settled(store, "promoted")
    assert names_of(store, "promoted") == wanted(store, "promoted")
    (parent,) = store.runs("promoted", "study")
    trials = {int(run.data.params["trial"]): run for run in store.runs("promoted", "trial")}
    record = load_study(store.storage, "promoted").user_attrs[RERUNS]
    for rerun in store.runs("promoted", "rerun"):
        name, number = rerun.info.run_name, rerun.data.params["trial"]
        own = trials[int(number)]
        assert name.startswith(f"rerun-{int(number):04d}-")
        assert rerun.data.params == own.data.params | {"seed": str(derive(0, name))}
        assert rerun.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert rerun.data.tags["dfkd.state"] == "COMPLETE"
        assert rerun.data.metrics.keys() >= {"robust", "rmse", "stress_rmse", "parameters", "curve/rmse"}
        assert [rerun.data.metrics["robust"], rerun.data.metrics["rmse"]] == pytest.approx(record[number][name])
        weights, others = student(rerun), student(own)
        assert weights.keys() == others.keys()
        assert not all((weights[key] == others[key]).all() for key in weights)


def test_the_promoted_student_is_that_of_the_best_recipe(store, promoted):
    leading = best_of(store, "promoted", 2)
    runs = [run for kind in ("trial", "rerun") for run in store.runs("promoted", kind)]
    scores = {n: [r.data.metrics["robust"] for r in runs if r.data.params["trial"] == str(n)] for n in leading}
    assert all(len(each) == 3 for each in scores.values())
    means = {number: sum(each) / 3 for number, each in scores.items()}
    assert promoted.promoted.trial == min(means, key=means.get)
    assert promoted.promoted.mean == pytest.approx(min(means.values()))
    assert promoted.promoted.objective == pytest.approx(min(scores[promoted.promoted.trial]))
    (parent,) = store.runs("promoted", "study")
    assert parent.data.tags["dfkd.promoted"] == promoted.promoted.run
    assert parent.data.metrics["study/promoted_rmse"] == pytest.approx(promoted.promoted.rmse)


def test_the_promoted_student_is_registered(store, promoted):
    held = find_run(store.tracking, "promoted")
    assert held.info.run_name == promoted.promoted.run
    found = register(store.tracking, "promoted", "promoted")
    assert (found.run_id, found.trial) == (held.info.run_id, promoted.promoted.trial)
    assert found.rmse == pytest.approx(promoted.promoted.rmse)
    assert found.report_rmse == promoted.report
    version = MlflowClient(store.tracking).get_model_version_by_alias("promoted", "champion")
    assert version.run_id == held.info.run_id


def test_reruns_begin_beside_the_last_trials(store, tiny, monkeypatch):
    """Once the leading recipes are settled; whoever leads in the end has its re-runs."""
    monkeypatch.setattr(session, "leaders_are_settled", lambda study, leaders, unfinished: unfinished == 1)
    made = tiny("early", trials=5, population=4, leaders=2, reruns=2, budget={"steps": 400})
    run(made, store)
    assert_reruns_settled(store, "early")
    last = max(trial.info.end_time for trial in store.runs("early", "trial"))
    assert min(rerun.info.start_time for rerun in store.runs("early", "rerun")) < last


def test_a_trial_is_registered_as_it_was(store, promoted):
    number = promoted.promoted.trial
    found = register(store.tracking, "promoted", "promoted-trial", trial=number)
    run = MlflowClient(store.tracking).get_run(found.run_id)
    assert (run.info.run_name, run.data.tags["dfkd.kind"]) == (run_name(number), "trial")
    assert find_run(store.tracking, "promoted", name=run_name(best_of(store, "promoted", 1)[0], 1)).info.run_id
    with pytest.raises(NotFound):
        find_run(store.tracking, "promoted", name="rerun-0099-1")


def test_a_resume_runs_nothing_again(store, tiny):
    first = run(tiny("repeated", **ABOUT), store)
    before = {run.info.run_id for run in store.runs("repeated")}
    again = run(tiny("repeated", **ABOUT), store)
    assert {run.info.run_id for run in store.runs("repeated")} == before
    assert (again.promoted, again.report, again.baseline) == (first.promoted, first.report, first.baseline)
    without = run(tiny("repeated", **ABOUT | {"reruns": 0}), store)
    assert (without.promoted.objective, without.promoted.trial) == first.best


def test_an_extended_study_runs_only_new_leaders_again(store, tiny):
    run(tiny("extended", trials=2, leaders=1, reruns=1), store)
    before = {run.info.run_name: run.info.run_id for run in store.runs("extended", "rerun")}
    assert sorted(before) == wanted(store, "extended", 1, 1)
    run(tiny("extended", trials=5, leaders=2, reruns=1), store)
    after = {run.info.run_name: run.info.run_id for run in store.runs("extended", "rerun")}
    assert after.items() >= before.items()
    assert sorted(after) == sorted({*before, *wanted(store, "extended", 2, 1)})
    assert_reruns_settled(store, "extended", 2, 1)
    # More re-runs of the same leaders add the difference.
    run(tiny("extended", trials=5, leaders=1, reruns=2), store)
    assert set(names_of(store, "extended")) == {*after, run_name(best_of(store, "extended", 1)[0], 2)}


def stop_after(calls: int) -> dict:
    """Options of ``run_study`` that ask it to stop some looks after the last trial has ended."""
    looks = []

    def watch(progress) -> None:
        if progress.done + progress.pruned == progress.total and not looks:
            looks.append(calls)

    def stop() -> bool:
        if looks:
            looks[0] -= 1
        return bool(looks) and looks[0] < 0

    return {"on_progress": watch, "should_stop": stop}


@pytest.mark.parametrize("calls", [0, 15, 60], ids=["before", "early", "late"])
def test_an_interrupted_promotion_is_taken_up(store, tiny, calls):
    name = f"interrupted-{calls}"
    with pytest.raises(Interrupted):
        run(tiny(name, **ABOUT), store, **stop_after(calls))
    assert not [run for run in store.runs(name) if run.info.status == "RUNNING"]
    (parent,) = store.runs(name, "study")
    assert parent.info.status == "KILLED"
    assert {t.state.name for t in store.trials(name)} == {"COMPLETE"}
    killed = [run for run in store.runs(name, "rerun") if run.info.status == "KILLED"]
    assert {run.data.tags["dfkd.state"] for run in killed} <= {"INTERRUPTED"}
    kept = {run.info.run_name: run.info.run_id for run in store.runs(name, "rerun") if run.info.status == "FINISHED"}
    assert (len(killed), len(kept)) == {0: (0, 0), 15: (2, 0), 60: (2, 2)}[calls]
    # Meanwhile the best trial so far is the study's student.
    assert find_run(store.tracking, name).info.run_name == run_name(best_of(store, name, 1)[0])

    run(tiny(name, **ABOUT), store)
    assert_reruns_settled(store, name)
    assert names_of(store, name) == wanted(store, name)
    after = {run.info.run_name: run.info.run_id for run in store.runs(name, "rerun") if run.info.status == "FINISHED"}
    assert after.items() >= kept.items()


def test_a_rerun_that_diverges_is_harmless(store, tiny, monkeypatch):
    """It counts against its recipe, and is not tried again."""
    study = "harmless"
    lost = []

    def some_diverge(problem, members, *rest):
        if not lost:
            lost.append(run_name(best_of(store, study, 1)[0], 1))
        for member in members:
            if member.key in lost:
                member.recipe = replace(member.recipe, optimizer=replace(member.recipe.optimizer, lr=1e30))
        return distill_all(problem, members, *rest)

    monkeypatch.setattr(reruns, "distill_all", some_diverge)
    done = run(tiny(study, **ABOUT), store)
    first, second = best_of(store, study, 2)
    assert done.promoted.trial == second and math.isfinite(done.promoted.mean)
    (killed,) = (run for run in store.runs(study, "rerun") if run.info.status == "KILLED")
    assert killed.info.run_name == lost[0] == run_name(first, 1)
    assert killed.data.tags["dfkd.state"] == "PRUNED" and "diverged" in killed.data.tags["dfkd.reason"]
    assert load_study(store.storage, study).user_attrs[RERUNS][str(first)][lost[0]] is None
    before = len(store.runs(study))
    again = run(tiny(study, **ABOUT), store)
    assert again.promoted == done.promoted and len(store.runs(study)) == before


def test_a_study_without_a_complete_trial_promotes_none(store, tiny):
    done = run(tiny("hopeless", search={"optimizer.lr": [1e30]}, **ABOUT | {"trials": 2}), store)
    assert done.promoted is None and done.report is None
    assert store.runs("hopeless", "rerun") == []
    with pytest.raises(NotFound):
        register(store.tracking, "hopeless", "hopeless")


def test_leaders_are_the_best_complete_trials_and_a_baseline_among_them(store, promoted):
    study = load_study(store.storage, "promoted")
    for count in (1, 2, 3, 4):
        leading = top_candidates(study, count)
        assert [leader.trial for leader in leading] == best_of(store, "promoted", count)
        assert len([leader for leader in leading if leader.trial is not None]) == min(count, 3)
    assert len(top_candidates(study, 99)) == 4


def test_zero_reruns_promote_the_best_trial(store, tiny):
    done = run(tiny("as-it-was", trials=3, reruns=0), store)
    assert (done.promoted.objective, done.promoted.trial) == done.best
    assert done.promoted.run == run_name(done.best[1])
    assert store.runs("as-it-was", "rerun") == []
