"""Leaders are run again before one is promoted: who is chosen, what is recorded, and that it happens once whatever stops it."""

import math
import random
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import yaml
from mlflow import MlflowClient
from processes import Process, command_line
from safetensors.torch import load_file

from dfkd_tune import register
from dfkd_tune.errors import Interrupted, NotFound
from dfkd_tune.reporting import summary_text
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import report
from dfkd_tune.search import locks
from dfkd_tune.search import storage as storages
from dfkd_tune.search.attributes import RERUNS
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.progress import Progress
from dfkd_tune.search.ranking import Candidate, choose, run_name, top_candidates
from dfkd_tune.study import reruns
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.run_lookup import find_run
from dfkd_tune.training.distill import distill_all
from dfkd_tune.utils.seeding import derive

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


ABOUT = {"trials": 3, "leaders": 2, "reruns": 2}


def run(prepared, store, **options):
    return run_study(prepared, store.storage, store.tracking, **options)


def best_of(store, name: str, count: int) -> list[int | None]:
    """The numbers of the best trials, best first, and None for the baseline."""
    scores = {t.number: t.value for t in store.trials(name) if t.state.name == "COMPLETE"}
    (untuned,) = store.runs(name, "baseline")
    scores |= {None: untuned.data.metrics["robust"]}
    return sorted(scores, key=scores.get)[:count]


def names_of(store, name: str, status: str = "FINISHED") -> list[str]:
    """Names of the re-runs on record in MLflow."""
    return [run.info.run_name for run in store.runs(name, "rerun") if run.info.status == status]


def wanted(store, name: str, count: int = 2, times: int = 2) -> list[str]:
    return sorted(run_name(n, again) for n in best_of(store, name, count) for again in range(1, times + 1))


def assert_settled(store, name: str, count: int = 2, times: int = 2) -> None:
    """Every re-run of the leaders is recorded once, on both sides, and nothing is left running."""
    expected = wanted(store, name, count, times)
    assert set(names_of(store, name)) >= set(expected)
    assert len(names_of(store, name)) == len(set(names_of(store, name)))
    record = load_study(store.storage, name).user_attrs[RERUNS]
    assert sorted(run for runs in record.values() for run in runs) == names_of(store, name)
    assert not [run for run in store.runs(name) if run.info.status == "RUNNING"]
    (parent,) = store.runs(name, "study")
    assert parent.info.status == "FINISHED"


@pytest.fixture(scope="module")
def promoted(store, tiny):
    return run(tiny("promoted", **ABOUT), store)


def student(run) -> dict:
    return load_file(Path(run.info.artifact_uri.removeprefix("file://")) / "student" / "student.safetensors")


def test_a_rerun_is_a_run(store, promoted):
    assert_settled(store, "promoted")
    assert names_of(store, "promoted") == wanted(store, "promoted")
    (parent,) = store.runs("promoted", "study")
    trials = {int(run.data.params["trial"]): run for run in store.runs("promoted", "trial")}
    record = load_study(store.storage, "promoted").user_attrs[RERUNS]
    for run in store.runs("promoted", "rerun"):
        name, number = run.info.run_name, run.data.params["trial"]
        own = trials[int(number)]
        assert name.startswith(f"rerun-{int(number):04d}-")
        assert run.data.params == own.data.params | {"seed": str(derive(0, name))}
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["dfkd.state"] == "COMPLETE"
        assert run.data.metrics.keys() >= {"robust", "rmse", "stress_rmse", "parameters", "curve/rmse"}
        assert [run.data.metrics["robust"], run.data.metrics["rmse"]] == pytest.approx(record[number][name])
        weights, others = student(run), student(own)
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
    assert_settled(store, "extended", 2, 1)
    # More re-runs of the same leaders add the difference.
    run(tiny("extended", trials=5, leaders=1, reruns=2), store)
    assert set(names_of(store, "extended")) == {*after, run_name(best_of(store, "extended", 1)[0], 2)}


def stop_after(calls: int) -> dict:
    """Options of ``run_study`` that ask it to stop some looks after the last trial has landed."""
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
    assert_settled(store, name)
    assert names_of(store, name) == wanted(store, name)
    after = {run.info.run_name: run.info.run_id for run in store.runs(name, "rerun") if run.info.status == "FINISHED"}
    assert after.items() >= kept.items()


def test_two_sessions_run_leaders_once(store, tree, tiny, start, tmp_path):
    """The second session finds all trials done while the first one is at its re-runs; nobody else waits for either."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("together", **ABOUT)))
    second: list[Process] = []
    seen: list[Progress] = []

    def join() -> bool:
        rerunning = [p for p in seen if p.done + p.pruned == 3 and p.reruns[0] < p.reruns[1]]
        if len(rerunning) > 1 and not second:
            second.append(start(command_line, tmp_path, "study", "study.yaml", *store.options))
            until = time.monotonic() + 120
            while "3/3 trials" not in second[0].said:
                assert second[0].alive() and time.monotonic() < until, second[0].said
                time.sleep(0.05)
            assert len(load_study(store.storage, "together").trials) == 3
            time.sleep(3 * locks.PAUSE)
            assert second[0].alive()
        return False

    first = run(tiny("together", **ABOUT), store, should_stop=join, on_progress=seen.append)
    assert second[0].wait() == 0, second[0].said
    assert_settled(store, "together")
    assert sorted(run.info.run_name for run in store.runs("together", "rerun")) == wanted(store, "together")
    assert f"Promoted: trial {first.promoted.trial}" in second[0].said


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_study_has_a_lock_of_its_own(tmp_path, request, kind):
    url = f"sqlite:///{tmp_path}/optuna.db" if kind == "sqlite" else request.getfixturevalue("postgresql")
    storage, other = storages.open_storage(url), storages.open_storage(url)
    one, two = (optuna.create_study(study_name=name, storage=storage) for name in ("one", "two"))
    looks = []

    def check_cancelled() -> None:
        looks.append(True)
        if len(looks) == 2:
            raise Interrupted("one")

    with locks.rerun_lock(storage, url, one, check_cancelled):
        with locks.rerun_lock(other, url, two, check_cancelled), locks.exclusive(other, url):
            assert not looks
        with pytest.raises(Interrupted), locks.rerun_lock(other, url, one, check_cancelled):
            raise AssertionError("two hold it")
    with locks.rerun_lock(other, url, one, check_cancelled):
        assert len(looks) == 2
    for each in (storage, other):
        each.engine.dispose()


def test_a_rerun_that_diverges_is_harmless(store, tiny, monkeypatch):
    """It counts against its recipe, and is not tried again."""
    study = "harmless"
    lost = []

    def some_diverge(problem, members, progress):
        if not lost:
            lost.append(run_name(best_of(store, study, 1)[0], 1))
        for member in members:
            if member.key in lost:
                member.recipe = replace(member.recipe, optimizer=replace(member.recipe.optimizer, lr=1e30))
        return distill_all(problem, members, progress)

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


def test_leaders_are_the_best_complete_trials_and_the_baseline(store, promoted):
    study = load_study(store.storage, "promoted")
    assert [leader.trial for leader in top_candidates(study, 3)] == best_of(store, "promoted", 3)
    assert len(top_candidates(study, 99)) == 4


def test_zero_reruns_promote_the_best_trial(store, tiny):
    done = run(tiny("as-it-was", trials=3, reruns=0), store)
    assert (done.promoted.objective, done.promoted.trial) == done.best
    assert done.promoted.run == run_name(done.best[1])
    assert store.runs("as-it-was", "rerun") == []


UNTUNED = {"search": {"optimizer.lr": [1e-9]}, "trials": 2, "leaders": 2, "reruns": 1}
"""A study whose trials learn nothing, beside a baseline that does."""


def test_a_baseline_that_no_trial_beats_is_promoted(store, tiny, dfkd):
    done = run(tiny("unbeaten", **UNTUNED), store)
    assert done.promoted.trial is None and done.promoted.rmse <= done.baseline
    assert names_of(store, "unbeaten") == wanted(store, "unbeaten", 2, 1)
    assert "rerun-baseline-1" in names_of(store, "unbeaten")
    (again,) = (run for run in store.runs("unbeaten", "rerun") if run.info.run_name == "rerun-baseline-1")
    (first,) = store.runs("unbeaten", "baseline")
    assert again.data.params == first.data.params | {"seed": str(derive(0, "rerun-baseline-1"))}
    found = register(store.tracking, "unbeaten", "unbeaten")
    assert (found.trial, found.report_rmse) == (None, done.report)
    assert find_run(store.tracking, "unbeaten").info.run_name == done.promoted.run
    held = len(store.runs("unbeaten"))
    assert run(tiny("unbeaten", **UNTUNED), store).promoted == done.promoted
    assert len(store.runs("unbeaten")) == held
    told = find(load_study(store.storage, "unbeaten"))
    assert told.untuned and summary_text.headline(told).endswith(
        "It is the untuned preset, because no trial did better."
    )
    (parent,) = store.runs("unbeaten", "study")
    assert "of the untuned preset: the recipe" in parent.data.tags["mlflow.note.content"]
    assert "The untuned preset; <code>" in report(store.storage, store.tracking, "unbeaten")
    for command in (["register", "unbeaten", "--model", "unbeaten"], ["export", "unbeaten", "--out", "unbeaten.pt2"]):
        said = dfkd(*command, "--tracking-uri", store.tracking)
        assert said.status == 0 and "the untuned preset, RMSE" in said.out, said.err
    assert "It is the untuned preset" in dfkd("show", "unbeaten", "--storage", store.storage).out


def test_a_baseline_that_is_beaten_is_not_run_again(store, tiny):
    done = run(
        tiny("beaten", search={"finish.kind": ["lbfgs"]}, preset="faithful", trials=2, leaders=2, reruns=1),
        store,
    )
    assert done.promoted.trial is not None and done.promoted.rmse < done.baseline
    assert not [name for name in names_of(store, "beaten") if "baseline" in name]


def test_processes_share_the_reruns(store, tree, tiny, start, tmp_path):
    """While one runs a part, another runs the other part, and neither runs a re-run twice."""
    about = ABOUT | {"seed": 5, "population": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("shared", **about)))
    second: list[Process] = []

    def until_the_other_part_is_done() -> bool:
        """Called while the first process is at its part, which it holds until the second has run the other one."""
        if names_of(store, "shared", "RUNNING") and not second:
            second.append(start(command_line, tmp_path, "study", "study.yaml", *store.options))
            until = time.monotonic() + 120
            while len(names_of(store, "shared", "FINISHED")) < 2:
                assert second[0].alive() and time.monotonic() < until, second[0].said
                time.sleep(0.05)
        return False

    trials = []
    options = {"on_progress": lambda progress: trials.append(progress.done + progress.pruned)}
    run(tiny("known", trials=1, reruns=0), store)  # an experiment to ask for, before there is one
    ask = {"should_stop": lambda: trials[-1:] == [3] and until_the_other_part_is_done()}
    run(tiny("shared", **about), store, **ask, **options)
    assert second[0].wait() == 0, second[0].said
    assert_settled(store, "shared")
    assert sorted(run.info.run_name for run in store.runs("shared", "rerun")) == wanted(store, "shared")
