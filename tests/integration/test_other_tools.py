"""The tool among others: ``mlflow run``, tags of the user's own runs, a callback of Optuna, optuna-dashboard."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest
import torch
import yaml
from processes import free_port, serving
from tiny_studies import ROOT

from dfkd_tune.study.session import run_study

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


def test_the_project_names_what_there_is():
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    for point in project["entry_points"].values():
        spec = point["parameters"].get("spec")
        assert spec is None or (ROOT / spec["default"]).exists()


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
