"""A study finds the smallest student within a share of its best: what is recorded, promoted and told, and that a resume repeats nothing."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from whole_studies import run

from dfkd_tune import register
from dfkd_tune.errors import Interrupted, NotFound, SpecError
from dfkd_tune.registry.sources import Sources
from dfkd_tune.reporting import summary_text
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import report
from dfkd_tune.search.attributes import SMALLER, SMALLEST
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import Smallest, leading_students, run_name
from dfkd_tune.study.replay import load_replay
from dfkd_tune.study.smaller import shrinker
from dfkd_tune.tracking.run_lookup import find_run
from dfkd_tune.training.distill import distill_all

pytestmark = pytest.mark.usefixtures("undrawn")

ABOUT = {"trials": 2, "leaders": 2, "reruns": 1, "preset": "faithful", "search": {"student.width": [16]}}


@pytest.fixture(scope="module")
def pruned(store, tiny):
    return run(tiny("pruned", within=0.99, **ABOUT), store)


def artifact(run, path: str) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / path).read_text()


def found_of(store, name) -> Smallest:
    return Smallest.of(load_study(store.storage, name).user_attrs[SMALLEST])


def test_the_smallest_within_the_share_is_promoted(store, pruned):
    found, record = found_of(store, "pruned"), load_study(store.storage, "pruned").user_attrs[SMALLER]
    assert found.size is not None and found.size.ratio <= 1.99 and found.size.parameters < found.parameters
    assert all(each.ratio > 1.99 or each.parameters >= found.size.parameters for each in found.tried)
    runs = {run.info.run_name: run for run in store.runs("pruned", "smaller")}
    assert sorted(runs) == sorted(record) == sorted(name for each in found.tried for name in each.runs)
    for name, told in record.items():
        data = runs[name].data
        assert (data.metrics["robust"], data.metrics["parameters"]) == (
            pytest.approx(told["objective"]),
            told["parameters"],
        )
    assert pruned.promoted.run == min(found.size.runs, key=lambda name: record[name]["objective"])
    assert pruned.promoted.trial == found.trial
    assert find_run(store.tracking, "pruned").info.run_name == pruned.promoted.run
    assert leading_students(load_study(store.storage, "pruned"), 2)[0] == pruned.promoted


def test_a_pruned_student_begins_with_the_weights_of_its_own_seed(store, pruned):
    found = found_of(store, "pruned")
    for each in found.tried:
        for i, name in enumerate(each.runs):
            (one,) = (run for run in store.runs("pruned", "smaller") if run.info.run_name == name)
            assert json.loads(artifact(one, "student/result.json"))["pruned_from"] == run_name(found.trial, i)


def test_show_report_note_and_certificate_tell_it(store, pruned, dfkd):
    said = summary_text.smallest_in_words(found_of(store, "pruned"))
    assert "confidence interval over seeds" in said and "within 99 % at" in said
    shown = dfkd("show", "pruned", "--storage", store.storage).out
    assert (
        "How small may the student be?" in shown
        and f"A student with {found_of(store, 'pruned').size.parameters:,} par" in shown
    )
    (parent,) = store.runs("pruned", "study")
    assert said in parent.data.tags["mlflow.note.content"]
    assert "Make it again" not in parent.data.tags["mlflow.note.content"]
    page = report(store.storage, store.tracking, "pruned").replace("\u00a0", " ")
    assert "How small may the student be?" in page and "--run" not in page
    done = register(store.tracking, "pruned", "pruned")
    version = MlflowClient(store.tracking).get_model_version("pruned", str(done.version))
    run_ = find_run(store.tracking, "pruned")
    assert version.run_id == run_.info.run_id
    certificate = json.loads(artifact(run_, "certificate/certificate.json"))
    assert certificate["student"]["size"] == said
    seed = int(run_.info.run_name[-1])
    assert certificate["student"]["pruned_from"] == run_name(pruned.promoted.trial, seed)


def test_findings_have_the_size_and_recipe_of_the_promoted_student(store, pruned):
    told, found = find(load_study(store.storage, "pruned")), found_of(store, "pruned")
    assert told.student.number == found.trial
    assert told.student.user_attrs["parameters"] == found.size.parameters
    assert json.loads(told.student.user_attrs["recipe"])["student"]["width"] < 16


def test_no_recipe_repeats_a_pruned_student(store, pruned):
    run_id = find_run(store.tracking, "pruned").info.run_id
    with pytest.raises(NotFound, match="was pruned from another student"):
        load_replay(store.tracking, run_id, Sources())


def test_a_resume_repeats_nothing(store, tiny, pruned, monkeypatch):
    before = len(store.runs("pruned"))
    monkeypatch.setattr(shrinker, "distill_all", lambda *given: pytest.fail("distilled again"))
    assert run(tiny("pruned", within=0.99, **ABOUT), store).promoted == pruned.promoted
    assert len(store.runs("pruned")) == before


def test_without_the_share_the_best_is_promoted_again(store, tiny):
    first = run(tiny("free", within=0.99, **ABOUT), store)
    again = run(tiny("free", **ABOUT), store)
    assert first.promoted.run.startswith("smaller") and not again.promoted.run.startswith("smaller")
    assert find(load_study(store.storage, "free")).smallest is None


def test_an_interrupted_search_is_taken_up(store, tiny, monkeypatch):
    calls = []

    def stopping(problem, members, *rest):
        calls.append(len(members))
        if len(calls) == 2:
            raise Interrupted("taken-up")
        return distill_all(problem, members, *rest)

    monkeypatch.setattr("dfkd_tune.study.reruns.distill_all", stopping)
    with pytest.raises(Interrupted):
        run(tiny("taken-up", within=0.99, **ABOUT | {"leaders": 1}), store)
    kept = {run.info.run_id for run in store.runs("taken-up") if run.info.status == "FINISHED"}
    monkeypatch.undo()
    done = run(tiny("taken-up", within=0.99, **ABOUT | {"leaders": 1}), store)
    assert done.promoted.run.startswith("smaller")
    runs = store.runs("taken-up")
    assert kept <= {run.info.run_id for run in runs} and not [run for run in runs if run.info.status == "RUNNING"]


def test_no_size_within_no_share_keeps_the_best(store, tiny):
    done = run(tiny("kept", within=0.0, **ABOUT | {"search": {"student.width": [2]}}), store)
    found = found_of(store, "kept")
    if found.chosen is None:
        assert not done.promoted.run.startswith("smaller")
        assert "No smaller size keeps within" in summary_text.smallest_in_words(found)
    else:
        assert found.size.ratio <= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reruns": 0}, "study.reruns is 0"),
        ({"reruns": 1, "budget": {"total_queries": 2000}}, "cannot be kept with budget.total_queries"),
    ],
)
def test_what_cannot_be_compared_is_refused(tree, given, words):
    from dfkd_tune.search.study_file import parse_spec
    from dfkd_tune.study.prepare import prepare

    made = tree("refused", within="5%", **given)
    if "budget" in given:
        made["budget"] = {"steps": 100, "total_queries": 2000}
    with pytest.raises(SpecError, match=words):
        prepare(parse_spec(made, "refused"))
