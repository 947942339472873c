"""Fidelity weighed against size or latency, and the smallest student that is good enough."""

import json
import re

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from tiny_studies import Store

from dfkd_tune.errors import SpecError, StudyMismatch
from dfkd_tune.locations import paths
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.run_lookup import find_run

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def weighed(store, tree):
    """A study of eight trials that weighs fidelity against size, over the default space."""
    spec = tree("weighed", trials=8, reruns=1, population=4, pareto="parameters", student={"max_parameters": 80})
    del spec["search"]
    return run_study(prepare(parse_spec(spec, "weighed")), store.storage, store.tracking)


def test_both_objectives_are_told_and_nothing_is_pruned(weighed, store):
    study = load_study(store.storage, "weighed")
    assert study.directions == [optuna.study.StudyDirection.MINIMIZE] * 2
    trials = store.trials("weighed")
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for trial in trials:
        assert trial.values == [trial.user_attrs["robust"], trial.user_attrs["parameters"]]
    assert weighed.best[0] == min(trial.values[0] for trial in trials)
    assert weighed.promoted.trial in {None, *(trial.number for trial in trials)}


def test_latency_is_weighed_too(tree, store, tmp_path):
    spec = parse_spec(tree("swift", trials=2, reruns=0, pareto="latency"), "swift")
    done = run_study(prepare(spec), f"sqlite:///{tmp_path}/optuna.db", store.tracking)
    for trial in load_study(done.storage_url, "swift").get_trials():
        assert trial.values[1] == trial.user_attrs["latency_us"] > 0


def test_latency_is_weighed_in_the_runtime_that_is_named(tree, store, tmp_path, monkeypatch):
    from dfkd_tune.export import speed

    measured = {}

    def one_row(prepare, row):
        assert isinstance(prepare, str) and row.shape[0] == 1
        measured[prepare] = 1000.0 + len(measured)
        return measured[prepare]

    monkeypatch.setattr(speed, "runtime", lambda name, module, schema: f"{name} {len(measured)}")
    monkeypatch.setattr(speed, "one_row", one_row)
    spec = parse_spec(tree("in-c", trials=2, reruns=1, leaders=1, pareto="latency", runtime="pt2"), "in-c")
    url = f"sqlite:///{tmp_path}/optuna.db"
    run_study(prepare(spec), url, store.tracking)
    assert {name.split()[0] for name in measured} == {"pt2"}
    for trial in load_study(url, "in-c").get_trials():
        assert trial.values[1] == trial.user_attrs["latency_us"] in measured.values()
    assert all(run.data.metrics["latency_us"] >= 1000 for run in store.runs("in-c", "rerun"))
    again = parse_spec(tree("in-c", trials=2, reruns=1, leaders=1, pareto="latency"), "in-c")
    with pytest.raises(StudyMismatch, match="runtime"):
        run_study(prepare(again), url, store.tracking)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"runtime": "C"}, "is weighed only with pareto: latency"),
        ({"runtime": "C", "pareto": "parameters"}, "is weighed only with pareto: latency"),
        ({"runtime": "lisp", "pareto": "latency"}, "study.runtime"),
    ],
)
def test_a_runtime_that_cannot_be_weighed_is_refused(tree, given, words):
    with pytest.raises(SpecError, match=words):
        prepare(parse_spec(tree("refused", **given), "refused"))


def test_a_runtime_that_is_not_here_is_refused(tree, monkeypatch):
    monkeypatch.setattr("dfkd_tune.export.speed.missing", lambda name: f"no {name}")
    with pytest.raises(SpecError, match="C cannot be used here: no C"):
        prepare(parse_spec(tree("absent", pareto="latency", runtime="C"), "absent"))


def test_a_study_keeps_its_objectives(weighed, store, tree):
    spec = tree("weighed", trials=8, reruns=1, population=4, student={"max_parameters": 80})
    del spec["search"]
    with pytest.raises(StudyMismatch, match="pareto"):
        run_study(prepare(parse_spec(spec, "weighed")), store.storage, store.tracking)


def test_the_command_line_asks_for_it(dfkd, store, tree, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("asked", trials=2, reruns=0)))
    ended = dfkd("study", "--pareto", "study.yaml", *store.options)
    assert ended.status == 0, ended.err
    assert all(len(trial.values) == 2 for trial in store.trials("asked"))
    assert dfkd("study", "study.yaml", "--pareto=weight", *store.options).status == 2


def test_show_lists_the_front(weighed, dfkd, store):
    from dfkd_tune.reporting.findings import front

    shown = dfkd("show", "weighed", *store.options[:2]).out
    part = shown[shown.index("The front: no trial has less parameters") :].split("\n\n")[0]
    numbers = [int(number) for number in re.findall(r"^ +(\d+) +[\d.e+-]+ ", part, re.MULTILINE)]
    assert numbers == [trial.number for trial in front(store.trials("weighed"))]
    plain = json.loads(dfkd("show", "weighed", "--json", *store.options[:2]).out)
    assert [trial["values"] for trial in plain["trials"]] == [trial.values for trial in store.trials("weighed")]


@pytest.mark.parametrize("study", ["weighed", "finished"])
@pytest.mark.parametrize("within", [0.0, 0.05, 0.5, 100.0])
def test_the_smallest_student_within_a_share_of_the_best(study, within, store: Store, request):
    request.getfixturevalue(study)
    chosen = find_run(store.tracking, study, within=within)
    students = [run for kind in ("trial", "rerun", "baseline") for run in store.runs(study, kind)]
    best = min(run.data.metrics["robust"] for run in students)
    near = [run for run in students if run.data.metrics["robust"] <= best * (1 + within)]
    assert chosen.data.metrics["robust"] <= best * (1 + within)
    assert chosen.data.metrics["parameters"] == min(run.data.metrics["parameters"] for run in near)


def test_register_takes_the_smallest(weighed, dfkd, store):
    options = ["--model", "small", "--tracking-uri", paths.absolute(store.tracking)]
    ended = dfkd("register", "weighed", "--smallest-within", "10000%", *options)
    assert ended.status == 0, ended.err
    smallest = min(store.trials("weighed"), key=lambda trial: (trial.values[1], trial.values[0]))
    assert f"trial {smallest.number}," in ended.out
    for wrong in (
        ["--smallest-within", "little"],
        ["--smallest-within", "-5%"],
        ["--smallest-within", "5"],
        ["--smallest-within", "5%", "--trial", 1],
    ):
        assert dfkd("register", "weighed", *wrong, *options).status == 2
