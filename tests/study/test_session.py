"""A study makes exactly N trials, the same ones from the same seed, and records each of them."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tiny_studies import Store, runs_of
from whole_studies import FINISHED, assert_settled, facts, run, stop_when

from dfkd_tune.errors import Interrupted
from dfkd_tune.search.loaded import live_study, load_study
from dfkd_tune.search.ranking import run_name, top_candidates
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_study_makes_exactly_its_trials(store, finished):
    assert_settled(store, "finished", 6)
    assert finished.progress.done + finished.progress.pruned == 6
    best = min((t.value, t.number) for t in store.trials("finished") if t.state == TrialState.COMPLETE)
    assert finished.best == best


def test_a_resume_adds_only_the_difference(store, tiny):
    first = run(tiny("growing", trials=3), store)
    before = facts(store.trials("growing"))
    grown = run(tiny("growing", trials=5), store)
    assert_settled(store, "growing", 5)
    after = facts(store.trials("growing"))
    assert after[:3] == before
    assert len(store.runs("growing", "trial")) == 5
    assert grown.best <= first.best

    for total in (5, 2):
        again = run(tiny("growing", trials=total), store)
        assert facts(store.trials("growing")) == after
        assert again.best == grown.best
        assert again.baseline == grown.baseline
    assert len(store.runs("growing", "trial")) == 5
    assert len(store.runs("growing", "baseline")) == 1


def test_new_trials_of_a_resume_are_new(store, tiny):
    search = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    run(tiny("fresh", trials=2, search=search), store)
    run(tiny("fresh", trials=4, search=search), store)
    rates = [trial.params["optimizer.lr"] for trial in store.trials("fresh")]
    assert len(set(rates)) == 4


def certificate_of(store: Store, name: str, kind: str) -> dict[str, dict]:
    """Certificates by the names of the runs that hold one."""
    places = {
        run.info.run_name: Path(run.info.artifact_uri.removeprefix("file://")) / "certificate" / "certificate.json"
        for run in store.runs(name, kind)
    }
    return {run: json.loads(file.read_text()) for run, file in places.items() if file.exists()}


def test_the_report_belongs_to_the_promoted_student(store, tiny):
    done = run(tiny("reported", trials=2, reruns=1), store)
    kinds = ("trial", "rerun", "baseline")
    held = {name: found for kind in kinds for name, found in certificate_of(store, "reported", kind).items()}
    assert held.keys() == {done.promoted.run}  # the report bank is opened for one student
    assert done.report == held[done.promoted.run]["report"]["rmse"]
    assert run(tiny("reported", trials=2, reruns=1), store).report == done.report

    # Where another student is promoted, the report is that student's.
    study = live_study(store.storage, "reported")
    (other,) = (leader for leader in top_candidates(study, 2) if leader.trial != done.promoted.trial)
    name = run_name(other.trial, 1)
    study.set_user_attr("reruns", study.user_attrs["reruns"] | {other.key: {name: [-1000.0, 0.0]}})
    again = run(tiny("reported", trials=2, reruns=1), store)
    assert again.promoted.run == name
    held = certificate_of(store, "reported", "rerun")
    assert again.report == held[name]["report"]["rmse"] != done.report


def test_the_same_seed_gives_the_same_trials(tmp_path, store, tiny):
    made = []
    for place, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / place).mkdir()
        url = f"sqlite:///{tmp_path}/{place}/optuna.db"
        run_study(tiny(f"twin-{place}", seed=seed, trials=3), url, store.tracking)
        made.append(facts(load_study(url, f"twin-{place}").get_trials(deepcopy=False)))
    assert made[0] == made[1]
    assert [trial[2] for trial in made[0]] != [trial[2] for trial in made[2]]


def test_a_trial_is_pruned_before_its_finish(store, tiny):
    """Whose steps are a small part of its budget: it is looked at where they end, among those that spent as much."""
    about = {
        "trials": 24,
        "preset": "faithful",
        "search": {"initializer.surplus": [0.2], "optimizer.lr": {"low": 1e-4, "high": 1.0}},
    }
    done = run(tiny("short-steps", **about), store)
    assert_settled(store, "short-steps", 24)
    pruned = [trial for trial in store.trials("short-steps") if trial.state == TrialState.PRUNED]
    assert len(pruned) == done.progress.pruned > 0
    for trial in store.trials("short-steps"):
        assert list(trial.intermediate_values) == [7]
    assert all("among the worst quarter at step" in trial.user_attrs["reason"] for trial in pruned)


def test_a_diverged_trial_is_an_outcome(store, tiny):
    search = {"optimizer.lr": {"low": 1e12, "high": 1e14, "log": True}}
    done = run(tiny("diverged", trials=3, search=search), store)
    assert_settled(store, "diverged", 3)
    assert done.best is None
    assert done.progress.pruned == 3
    for trial in store.trials("diverged"):
        assert trial.state == TrialState.PRUNED
        assert "diverged" in trial.user_attrs["reason"]
    for recorded in store.runs("diverged", "trial"):
        assert recorded.info.status == "KILLED"
        assert recorded.data.tags["dfkd.state"] == "PRUNED"
        assert "diverged" in recorded.data.tags["dfkd.reason"]
        assert "rmse" not in recorded.data.metrics


def test_a_study_lives_in_postgresql(postgresql, store, tiny):
    name = "in-postgresql"
    with pytest.raises(Interrupted):
        run_study(
            tiny(name, trials=5), postgresql, store.tracking, **stop_when(lambda p: p.done >= 1 and p.running > 1)
        )
    done = run_study(tiny(name, trials=5), postgresql, store.tracking)
    trials = load_study(postgresql, name).get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(5))
    assert {trial.state for trial in trials} <= set(FINISHED)
    assert done.best == min((t.value, t.number) for t in trials if t.state == TrialState.COMPLETE)
    assert not [run for run in runs_of(store.tracking, name) if run.info.status == "RUNNING"]
