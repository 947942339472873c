"""What is recorded in MLflow, in a file and on a server; and that the user's own state is left alone."""

import os
from pathlib import Path

import mlflow
import optuna
import pytest
import torch
import yaml
from mlflow import MlflowClient
from processes import command_line, free_port
from tiny_studies import runs_of

from dfkd_tune import register
from dfkd_tune.errors import TrackingError
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")

ARTIFACTS = {"student.safetensors", "architecture.yaml", "recipe.yaml", "result.json", "sha256.json"}
PARAMS = {"generator.kind", "bound.kind", "input_bound.kind", "alpha.kind", "student.width", "optimizer.lr", "trial"}
METRICS = {"rmse", "nrmse", "stress_rmse", "stress/nrmse", "robust", "parameters", "compression", "seconds"}


@pytest.fixture(params=["sqlite", "server"])
def done(request):
    return request.getfixturevalue("finished" if request.param == "sqlite" else "served")


def test_a_study_is_an_experiment_with_one_parent(done):
    runs = runs_of(done.tracking_uri, done.name)
    (parent,) = (run for run in runs if run.data.tags["dfkd.kind"] == "study")
    assert parent.info.run_name == done.name
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["study/best"] == pytest.approx(done.best[0])
    assert parent.data.metrics["study/best_trial"] == done.best[1]
    assert parent.data.metrics["study/baseline_rmse"] == pytest.approx(done.baseline)
    (preset,) = (run for run in runs if run.data.tags["dfkd.kind"] == "baseline")
    assert parent.data.metrics["study/baseline"] == pytest.approx(preset.data.metrics["robust"])
    assert parent.data.metrics["study/baseline_rmse"] == pytest.approx(preset.data.metrics["rmse"])
    assert parent.data.tags["dfkd.promoted"] == done.promoted.run
    assert parent.data.metrics["study/promoted_rmse"] == pytest.approx(done.promoted.rmse)
    assert parent.data.metrics["certificate/rmse"] == pytest.approx(done.report)
    assert parent.data.metrics["study/trials"] == 6
    assert parent.data.metrics["study/complete"] + parent.data.metrics["study/pruned"] == 6
    assert parent.data.params["seed"] == "0"
    assert parent.data.tags["dfkd.tier"] == "T0"

    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    kinds = [(run.info.run_name, run.data.tags["dfkd.kind"]) for run in children]
    trials = load_study(done.storage_url, done.name).get_trials(deepcopy=False)
    leading = sorted(sorted(trials, key=lambda trial: trial.value)[:2], key=lambda trial: trial.number)
    again = [(f"rerun-{trial.number:04d}-1", "rerun") for trial in leading]
    assert kinds == [("baseline", "baseline"), *again, *((f"trial-{n:04d}", "trial") for n in range(6))]
    assert {run.data.tags["dfkd.study"] for run in runs} == {done.name}
    assert all(run.data.tags["mlflow.source.name"] for run in runs)


def test_a_trial_is_a_run(done, monkeypatch):
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", done.tracking_uri
    )  # where MLflow looks for the model that a run was logged as
    trials = load_study(done.storage_url, done.name).get_trials(deepcopy=False)
    client = MlflowClient(done.tracking_uri)
    for run in runs_of(done.tracking_uri, done.name, "trial"):
        trial = trials[int(run.data.params["trial"])]
        assert run.data.tags["dfkd.state"] == trial.state.name == "COMPLETE"
        assert run.info.status == "FINISHED"
        assert run.data.params.keys() >= PARAMS
        for leaf, value in trial.params.items():
            assert run.data.params[leaf.partition("@")[0]] == str(value)
        assert run.data.metrics.keys() >= METRICS
        assert run.data.metrics["robust"] == pytest.approx(trial.value)
        assert run.data.metrics["compression"] == pytest.approx(81 / run.data.metrics["parameters"])
        (point,) = client.get_metric_history(run.info.run_id, "rmse")
        assert point.step == 0
        curve = client.get_metric_history(run.info.run_id, "curve/rmse")
        steps = [point.step for point in curve]
        assert 2 < len(steps) == len(set(steps)) <= 20
        assert steps[-1] == 40
        files = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "student")}
        registered = "MLmodel" in files  # by another test, as the study is shared
        assert files > ARTIFACTS if registered else files == ARTIFACTS


def test_the_recorded_rmse_is_that_of_the_recorded_student(done, student_of, tiny):
    prepared = tiny(done.name)
    problem = prepared.problem(500)
    add_stress(problem, prepared.baseline())

    def rmse_of(student, name):
        bank = problem.banks[name]
        with torch.no_grad():
            return float((student(bank.z) - bank.values * problem.spread - problem.shift).square().mean().sqrt())

    for run in runs_of(done.tracking_uri, done.name):
        if "rmse" not in run.data.metrics or run.data.tags["dfkd.kind"] == "study":
            continue
        student, result = student_of(done.tracking_uri, run)
        assert run.data.metrics["rmse"] == pytest.approx(rmse_of(student, "selection"), rel=1e-4)
        assert run.data.metrics["stress_rmse"] == pytest.approx(rmse_of(student, "stress"), rel=1e-4)
        assert result["rmse"] == run.data.metrics["rmse"]
        assert result["parameters"] == sum(p.numel() for p in student.parameters()) == run.data.metrics["parameters"]
        assert result["teacher_sha256"] == tiny(done.name).teacher.sha256


def test_artifacts_lie_inside_mlruns(finished, store):
    for run in store.runs("finished"):
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        assert folder.is_relative_to(store.home / "mlruns" / "artifacts" / "finished")
    assert sorted(path.name for path in store.home.iterdir()) == ["mlruns"]


def test_a_pruned_trial_is_killed_without_a_result(tmp_path, store, tiny):
    url = f"sqlite:///{tmp_path}/optuna.db"
    search = {"optimizer.lr": {"low": 0.009, "high": 0.011}}  # nothing to learn: any trial may be among the worst
    done = run_study(tiny("often-pruned", trials=16, population=2, search=search), url, store.tracking)
    assert done.progress.pruned
    for run in store.runs("often-pruned", "trial"):
        pruned = run.data.tags["dfkd.state"] == "PRUNED"
        assert run.info.status == ("KILLED" if pruned else "FINISHED")
        for name in ("rmse", "stress_rmse", "robust"):
            assert (name in run.data.metrics) == (not pruned)
        assert ("dfkd.reason" in run.data.tags) == pruned
    (parent,) = store.runs("often-pruned", "study")
    assert parent.data.metrics["study/pruned"] == done.progress.pruned


def test_fluent_state_belongs_to_the_user(store, finished, tmp_path, start, tiny):
    """In a process of its own, where MLflow was never told anything, and then where it was told a lot."""
    store.hand_out(tmp_path)
    (tmp_path / "mlruns" / "mlflow.db").rename(tmp_path / "own.db")
    (tmp_path / "mlruns").rmdir()
    process = start(_beside_the_user, store.storage, store.tracking, tmp_path, tiny("beside", trials=1).spec)
    assert process.wait() == 0, process.said


def _beside_the_user(storage: str, uri: str, folder: Path, spec) -> None:
    from mlflow.tracking import fluent
    from mlflow.tracking._tracking_service import utils

    def settings() -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_")}

    os.chdir(folder)
    own = f"sqlite:///{folder}/own.db"
    for environment in ({}, {"MLFLOW_TRACKING_URI": own}):
        os.environ.update(environment)
        before = settings()
        register(uri, "finished", "untouched")
        assert mlflow.active_run() is None
        assert utils._tracking_uri is None
        assert fluent._active_experiment_id is None
        assert settings() == before
        assert not list(folder.glob("ml*"))

    mlflow.set_tracking_uri(own)
    experiment = mlflow.set_experiment("of-the-user").experiment_id
    before = settings()
    with mlflow.start_run() as mine:
        run_study(prepare(spec), storage, uri)
        assert register(uri, spec.name, "beside").version == 1
        assert mlflow.active_run().info.run_id == mine.info.run_id
        assert mlflow.get_tracking_uri() == own
        assert settings() == before
        mlflow.log_metric("mine", 1.0)
    with mlflow.start_run() as another:
        assert another.info.experiment_id == experiment
    assert mlflow.active_run() is None
    kept = MlflowClient(own)
    assert kept.get_experiment_by_name(spec.name) is None
    found = {run.info.run_name: run.info.run_id for run in kept.search_runs([experiment])}
    assert set(found.values()) == {mine.info.run_id, another.info.run_id}, found
    assert kept.get_run(mine.info.run_id).data.metrics == {"mine": 1.0}
    assert MlflowClient(uri).get_experiment_by_name("of-the-user") is None


def test_the_command_line_honors_the_environment(tmp_path, store, tree, dfkd, monkeypatch, mlflow_server):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("environment", trials=1, search={})))
    (tmp_path / "other").mkdir()
    store.hand_out(tmp_path / "other")
    other = f"sqlite:///{tmp_path}/other/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    assert dfkd("study", "study.yaml").status == 0
    (before,) = runs_of(mlflow_server.url, "environment", "trial")
    assert dfkd("study", "study.yaml", "--storage", "sqlite:///other.db", "--tracking-uri", other).status == 0
    assert len(runs_of(other, "environment", "trial")) == 1
    (after,) = runs_of(mlflow_server.url, "environment", "trial")
    assert after.info.run_id == before.info.run_id
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:s3cret@127.0.0.1:{port}",
        "http://ann:s3cret@127.0.0.1:{port}/base",
        "http://ann:s3c@ret@127.0.0.1:{port}",
        "postgresql://ann:s3cret@127.0.0.1:{port}/mlflow",
        "postgresql://127.0.0.1:{port}/mlflow?user=ann&password=s3cret",
    ],
)
def test_credentials_are_never_shown(address, tiny, store):
    uri = address.format(port=free_port())
    with pytest.raises(TrackingError) as error:
        run_study(tiny("secret"), store.storage, uri)
    assert "127.0.0.1" in str(error.value)
    assert "\n" not in str(error.value)
    for secret in ("s3cret", "s3c", "ret@"):
        assert secret not in str(error.value)
    assert "secret" not in optuna.get_all_study_names(store.storage)  # told before anything is made


def test_a_server_that_is_down_is_told_before_any_trial(tiny, tmp_path):
    port = free_port()
    with pytest.raises(TrackingError, match=f"127.0.0.1:{port}"):
        run_study(tiny("down"), f"sqlite:///{tmp_path}/optuna.db", f"http://127.0.0.1:{port}")
    assert list(tmp_path.iterdir()) == []


def _speak_something_else(port: int) -> None:
    """A server that is not one of HTTP, as an SSH port is."""
    import socket

    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-Other\r\n")
            connection.close()


def test_a_server_of_another_kind_is_told_in_one_line(tiny, tmp_path, start):
    import socket
    import time

    port = free_port()
    process, folder = start(_speak_something_else, port), tmp_path / "nothing"
    folder.mkdir()
    while True:
        assert process.alive(), process.said
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    with pytest.raises(TrackingError, match=f"127.0.0.1:{port}"):
        run_study(tiny("other"), f"sqlite:///{folder}/optuna.db", f"http://127.0.0.1:{port}")
    assert list(folder.iterdir()) == []


def test_files_that_are_no_store_are_told_in_one_line(tiny, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db") as error:
        run_study(tiny("garbage"), f"sqlite:///{tmp_path}/optuna.db", f"sqlite:///{tmp_path}/mlflow.db")
    assert "\n" not in str(error.value)
    with pytest.raises(TrackingError, match="a directory of files, which MLflow no longer takes"):
        run_study(tiny("files"), f"sqlite:///{tmp_path}/optuna.db", str(tmp_path / "mlruns"))


def test_runs_left_open_are_swept(tmp_path, store, tree, start, tiny):
    """A session that was killed leaves runs RUNNING; the next one says what became of them."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("swept", trials=1, search={})))
    client = MlflowClient(store.tracking)
    command = ("study", "study.yaml", "--storage", store.storage, "--tracking-uri", store.tracking)
    process = start(command_line, tmp_path, *command)
    assert process.wait() == 0, process.said
    (parent,) = store.runs("swept", "study")
    left = client.create_run(parent.info.experiment_id, tags={"mlflow.parentRunId": parent.info.run_id})
    run_study(tiny("swept", trials=2, search={}), store.storage, store.tracking)
    assert client.get_run(left.info.run_id).info.status == "KILLED"
