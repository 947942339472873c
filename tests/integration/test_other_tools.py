"""The tool among others: ``mlflow run``, tags of the user's own runs, a callback of Optuna, optuna-dashboard."""

import json
import os
import sys
import urllib.request
from importlib.metadata import entry_points, version
from pathlib import Path

import mlflow
import optuna
import pytest
import torch
import yaml
from mlflow import MlflowClient
from processes import free_port, serving
from tiny_studies import ROOT, SEARCH

from dfkd_tune import Distillation, RegisterBest, load_teacher
from dfkd_tune.errors import SpecError
from dfkd_tune.integrations.mlflow_context import StudyContext
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.context import within
from dfkd_tune.tracking.project_run import given_run

pytestmark = pytest.mark.usefixtures("undrawn")

BIN = Path(sys.executable).parent


def test_mlflow_run(store, tree, tmp_path, monkeypatch):
    """The run that MLflow starts is the study's parent."""
    from click.testing import CliRunner
    from mlflow.cli import cli

    (tmp_path / "MLproject").write_text((ROOT / "MLproject").read_text())
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("projected", trials=9, search={}, reruns=0)))
    command = ["run", str(tmp_path), "--env-manager", "local"]
    command += ["--experiment-name", "projected", "-P", "n_trials=1", "-P", "spec=study.yaml"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    ended = CliRunner().invoke(cli, command)
    assert ended.exit_code == 0, ended.output
    (parent,) = store.runs("projected", "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["mlflow.project.entryPoint"] == "main"
    assert parent.data.params["n_trials"] == "1"
    assert parent.data.metrics["study/trials"] == 1
    (trial,) = store.runs("projected", "trial")
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_run_given_in_another_experiment_leads_to_the_study(store, finished, monkeypatch):
    client = MlflowClient(store.tracking)
    own = client.get_experiment_by_name("finished").experiment_id
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert given_run(client, own, "finished") is None
    given = client.create_run(client.create_experiment("of-another-project")).info
    monkeypatch.setenv("MLFLOW_RUN_ID", given.run_id)
    assert given_run(client, given.experiment_id, "of-another-project") == given.run_id
    assert given_run(client, own, "finished") is None
    tags = client.get_run(given.run_id).data.tags
    assert (tags["dfkd.study"], tags["dfkd.experiment_id"]) == ("finished", own)


def test_the_project_names_what_there_is():
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    for point in project["entry_points"].values():
        spec = point["parameters"].get("spec")
        assert spec is None or (ROOT / spec["default"]).exists()


def test_only_runs_within_a_study_are_tagged(store, tiny):
    provider = StudyContext()
    assert not provider.in_context()
    with within(study="pump", trial=3):
        assert provider.in_context()
        assert provider.tags() == {"dfkd.version": version("dfkd-tune"), "dfkd.study": "pump", "dfkd.trial": "3"}
        with within(study="inner"):
            assert provider.tags()["dfkd.study"] == "inner"
        assert provider.tags()["dfkd.study"] == "pump"
    assert not provider.in_context()

    seen = []
    run_study(
        tiny("contextual", trials=1, search={}, reruns=0),
        store.storage,
        store.tracking,
        on_progress=lambda progress: seen.append(provider.in_context() and provider.tags()["dfkd.study"]),
    )
    assert set(seen) == {"contextual"} and not provider.in_context()


def test_mlflow_finds_the_provider():
    (found,) = (point for point in entry_points(group="mlflow.run_context_provider") if point.name == "dfkd-tune")
    assert found.load() is StudyContext
    assert mlflow.tracking.context.registry.resolve_tags().keys().isdisjoint({"dfkd.version", "dfkd.study"})
    with within(study="pump"):
        assert mlflow.tracking.context.registry.resolve_tags()["dfkd.study"] == "pump"


def test_the_best_is_always_registered(small_teacher, store):
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    given = {"preset": "paper", "search": SEARCH, "steps": 40, "batch": 20}
    objective = Distillation(teacher, tracking_uri=store.tracking, experiment="own-best", **given)
    study, seen = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), []
    register_best = RegisterBest(objective, "own-best", alias="lead")

    def look(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        version = MlflowClient(store.tracking).get_model_version_by_alias("own-best", "lead")
        seen.append((int(version.tags["dfkd.trial"]), float(version.tags["dfkd.rmse"]), int(version.version)))

    study.optimize(objective, n_trials=5, callbacks=[register_best, look])
    best, expected = None, []
    for trial in study.trials:
        if best is None or trial.value < best.value:
            best = trial
        expected.append((best.number, best.user_attrs["rmse"]))
    assert len({number for number, _ in expected}) > 1
    assert [number for number, *_ in seen] == [number for number, _ in expected]
    assert [rmse for _, rmse, _ in seen] == pytest.approx([value for _, value in expected])
    assert seen[-1][2] == len({number for number, _ in expected})  # a version for every improvement, and no other
    with pytest.raises(SpecError, match="tracking_uri"):
        RegisterBest(Distillation(teacher, **given), "own-best")


def test_optuna_dashboard_shows_names_notes_and_students(store, finished, tmp_path):
    port = free_port()
    command = [str(BIN / "optuna-dashboard"), store.storage, "--port", str(port), "--host", "127.0.0.1"]
    command += ["--artifact-dir", str(store.home / "mlruns" / "optuna-artifacts")]
    url = f"http://127.0.0.1:{port}/api/studies"
    with serving(command, url, tmp_path):
        with urllib.request.urlopen(url, timeout=60) as answer:
            (study,) = (s for s in json.load(answer)["study_summaries"] if s["study_name"] == "finished")
        with urllib.request.urlopen(f"{url}/{study['study_id']}?after=0", timeout=60) as answer:
            told = json.load(answer)
        trials = told["trials"]
        shown = next(trial for trial in trials if trial["number"] == finished.promoted.trial)
        place = f"http://127.0.0.1:{port}/artifacts/{study['study_id']}/{shown['trial_id']}"
        files = {file["filename"]: f"{place}/{file['artifact_id']}" for file in shown["artifacts"]}
        with urllib.request.urlopen(files[f"{finished.promoted.run}.pt2"], timeout=60) as answer:
            (tmp_path / "student.pt2").write_bytes(answer.read())
    assert [trial["number"] for trial in trials] == list(range(6))
    assert {trial["state"] for trial in trials} <= {"Complete", "Pruned"}
    assert told["objective_names"] == ["robust"]
    assert told["note"]["body"].startswith("**A student with")
    assert finished.promoted.run in told["note"]["body"] and finished.promoted.run in shown["note"]["body"]
    assert files.keys() == {f"{finished.promoted.run}.pt2", f"{finished.promoted.run}-certificate.html"}
    assert {file["filename"] for file in told["artifacts"]} == files.keys()
    attributes = {each["key"]: each["value"] for each in shown["user_attrs"]}
    assert float(attributes["parameters"]) > 0 and {"rmse", "robust", "recipe"} <= attributes.keys()
    student = torch.export.load(tmp_path / "student.pt2").module()
    assert student(torch.zeros(2, 3)).shape == (2, 1)
    with_files = [trial for trial in trials if trial["artifacts"]]
    assert len(with_files) == len([trial for trial in trials if trial["note"]["body"]]) == 2  # the leaders alone


def test_optuna_knows_the_limit_as_a_constraint(store, tiny):
    run_study(tiny("limited", trials=2, student={"max_parameters": 101}), store.storage, store.tracking)
    for trial in store.trials("limited"):
        assert trial.constraints == {"max_parameters": trial.user_attrs["parameters"] - 101}
        assert trial.constraints["max_parameters"] <= 0
