"""What a study's runs show in MLflow: the note, the saved view, the figures, the inputs."""

import json
import re
from pathlib import Path

from mlflow import MlflowClient
from tiny_studies import runs_of

from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import report
from dfkd_tune.reporting.study_figures import figures
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study


def parent_of(done):
    (parent,) = runs_of(done.tracking_uri, done.name, "study")
    return parent


def parent_metrics(done):
    return runs_of(done.tracking_uri, done.name, "trial")[0].data.metrics


def test_the_parent_run_tells_the_story(done):
    client, parent = MlflowClient(done.tracking_uri), parent_of(done)
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("**A student with")
    for needed in (
        "Which generator?",
        "### Register it",
        f"register {done.name} --model {done.name}",
        done.promoted.run,
    ):
        assert needed in note
    kept = {Path(file.path).stem for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert kept == {"leaders", *figures(find(load_study(done.storage_url, done.name)))}
    experiment = client.get_experiment(parent.info.experiment_id)
    assert experiment.tags["mlflow.note.content"].startswith("A student with")
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] in parent_metrics(done)


def test_a_saved_view_shows_the_trials_best_first(done):
    """As MLflow's page keeps one: its columns exist, and its filter and order are those of a search."""
    client = MlflowClient(done.tracking_uri)
    experiment = client.get_experiment_by_name(done.name)
    (key,) = (key for key in experiment.tags if key.startswith("mlflow.sharedViewState."))
    assert f"viewStateShareKey={key.rpartition('.')[2]}" in experiment.tags["mlflow.note.content"]
    view = json.loads(json.loads(experiment.tags[key])["state"])
    order = f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"
    found = client.search_runs([experiment.experiment_id], view["searchFilter"], order_by=[order])
    values = [run.data.metrics["robust"] for run in found]
    assert len(values) == 6 and values == sorted(values)
    for column in view["selectedColumns"]:
        kind, _, name = column.replace("`", "").partition(".")
        assert any(name in getattr(run.data, kind) for run in found), column


def test_the_filters_in_the_note_find_the_runs(done):
    client, parent = MlflowClient(done.tracking_uri), parent_of(done)
    words = parent.data.tags["mlflow.note.content"].partition("### Find the runs")[2]
    trials, pruned, good, study = re.findall(r"`((?:tags|metrics)\..*?)`", words)

    def names(wanted):
        return {run.info.run_name for run in client.search_runs([parent.info.experiment_id], wanted)}

    assert names(trials) == {f"trial-{n:04d}" for n in range(6)}
    assert names(pruned) == set()
    assert f"trial-{done.best[1]:04d}" in names(good)
    assert names(study) == {run.info.run_name for run in runs_of(done.tracking_uri, done.name)}


def test_the_promoted_student_has_its_figures(done):
    client = MlflowClient(done.tracking_uri)
    (run,) = (r for r in runs_of(done.tracking_uri, done.name) if r.info.run_name == done.promoted.run)
    kept = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "figures")}
    assert kept == {"parity.png", "residuals.png", "training.png", "synthetic.png"}
    data = Path(client.download_artifacts(run.info.run_id, "figures/parity.png")).read_bytes()
    assert data.startswith(b"\x89PNG")


def test_the_declared_inputs_are_the_dataset(done, tiny):
    inputs = tiny(done.name).inputs
    (promoted,) = (r for r in runs_of(done.tracking_uri, done.name) if r.info.run_name == done.promoted.run)
    for run in (parent_of(done), promoted):
        (held,) = (each for each in run.inputs.dataset_inputs if each.dataset.name.startswith("declared"))
        assert held.dataset.digest == inputs.fingerprint()[:12]
        assert "tier T0" in held.dataset.name
        named = [column["name"] for column in json.loads(held.dataset.schema)["mlflow_colspec"]]
        assert named == inputs.names
        assert {tag.key: tag.value for tag in held.tags} == {"mlflow.data.context": "prior"}


def test_a_study_that_comes_to_nothing_is_told_too(tree, store, tmp_path):
    """Every student diverges."""
    spec = parse_spec(tree("hopeless-report", trials=2, search={"optimizer.lr": [1e30]}), "hopeless-report")
    done = run_study(prepare(spec), f"sqlite:///{tmp_path}/optuna.db", store.tracking)
    assert done.promoted is None
    (parent,) = store.runs("hopeless-report", "study")
    assert parent.data.tags["mlflow.note.content"].startswith("**No trial of hopeless-report is complete: 2 pruned.**")
    assert "No trial of hopeless-report is complete" in report(done.storage_url, store.tracking, "hopeless-report")
