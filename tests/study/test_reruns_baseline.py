"""The untuned baseline is run again and promoted if no trial beats it."""

import pytest
from rerun_studies import UNTUNED, names_of, wanted
from whole_studies import run

from dfkd_tune import register
from dfkd_tune.reporting import summary_text
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import report
from dfkd_tune.search.loaded import load_study
from dfkd_tune.tracking.run_lookup import find_run
from dfkd_tune.training.population import Population
from dfkd_tune.utils.seeding import derive

pytestmark = pytest.mark.usefixtures("undrawn", "late_reruns")


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
        "It is the untuned baseline, because no trial did better."
    )
    (parent,) = store.runs("unbeaten", "study")
    assert "of the untuned baseline: the recipe" in parent.data.tags["mlflow.note.content"]
    assert "The untuned baseline; <code>" in report(store.storage, store.tracking, "unbeaten")
    for command in (["register", "unbeaten", "--model", "unbeaten"], ["export", "unbeaten", "--out", "unbeaten.pt2"]):
        said = dfkd(*command, "--tracking-uri", store.tracking)
        assert said.status == 0 and "the untuned baseline, RMSE" in said.out, said.err
    assert "It is the untuned baseline" in dfkd("show", "unbeaten", "--storage", store.storage).out


def test_a_baseline_that_is_beaten_is_not_run_again(store, tiny):
    done = run(
        tiny("beaten", search={"refiner.kind": ["lbfgs"]}, preset="faithful", trials=2, leaders=2, reruns=1),
        store,
    )
    assert done.promoted.trial is not None and done.promoted.rmse < done.baseline
    assert not [name for name in names_of(store, "beaten") if "baseline" in name]


@pytest.mark.parametrize("seeded", [False, True])
def test_reruns_train_with_a_baseline_that_is_left_alone(store, tiny, monkeypatch, seeded):
    """A baseline without a refiner takes more steps than the trials. With a seed, companions do not depend on interruptions."""
    together, advance = set(), Population.advance

    def watched(population):
        together.add(frozenset(str(member.key) for member in population.members))
        return advance(population)

    monkeypatch.setattr(Population, "advance", watched)
    name, seed = f"companions-{seeded}", {"seed": 3} if seeded else {}
    done = run(tiny(name, search={"refiner.kind": ["lbfgs"]}, trials=2, leaders=1, reruns=2, **seed), store)
    reruns = {each for each in names_of(store, name) if "baseline" not in each}
    assert len(reruns) == 2 and reruns <= set().union(*together)
    assert any("baseline" in keys and keys & reruns for keys in together) != seeded
    assert done.baseline is not None
    (untuned,) = store.runs(name, "baseline")
    assert untuned.info.status == "FINISHED" and untuned.data.metrics["seconds"] > 0
