"""What another program made under a study's name: refused by every command, and left as it is."""

import contextlib
import sqlite3

import optuna
import pytest
import torch
import yaml
from asked import assert_refused, network, save_pt2
from mlflow import MlflowClient

from dfkd_tune.search.foreign import AGREED

pytestmark = pytest.mark.usefixtures("undrawn")


def lines(file) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def somebodys(study) -> None:
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=2)


def half_written(study) -> None:
    study.set_user_attr("identity", {"teacher": "0" * 64, "seed": 0})
    somebodys(study)


def unlike(study) -> None:
    study.set_user_attr("identity", "mine")
    study.set_user_attr("pool", "large")


def with_a_trial_of_another(study) -> None:
    study.set_user_attr("identity", dict.fromkeys(AGREED, 0))
    study.set_user_attr("pool", 500)
    study.add_trial(optuna.create_trial(values=[1.0, 2.0], user_attrs={"rmse": "small", "parameters": None}))


MAKERS = {
    "somebodys": (somebodys, "was not made by dfkd-tune"),
    "empty": (lambda study: None, "was not made by dfkd-tune"),
    "half written": (half_written, "was not made by dfkd-tune"),
    "unlike": (unlike, "was not made by dfkd-tune"),
    "a trial": (with_a_trial_of_another, "holds trial 0, which dfkd-tune did not make"),
}


@pytest.mark.parametrize(("make", "words"), MAKERS.values(), ids=MAKERS)
def test_a_study_of_another_program_is_refused(dfkd, tmp_path, store, tree, finished, make, words):
    file = tmp_path / "optuna.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    make(optuna.create_study(study_name="pump", storage=storage, directions=["minimize", "maximize"]))
    storage.engine.dispose()
    before, experiments = lines(file), {each.name for each in MlflowClient(store.tracking).search_experiments()}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("pump")))
    where = ["--storage", f"sqlite:///{file}"]
    both = [*where, *store.options[2:]]
    for argv in (
        ["study", "study.yaml", *both],
        ["study", "study.yaml", "--workers", "2", *both],
        ["worker", "pump", *both],
        ["show", "pump", *where],
        ["show", "pump", "--json", *where],
        ["report", "pump", *both],
        ["sync", "pump", *both],
    ):
        assert_refused(dfkd(*argv), "study 'pump'", words, "take another name, or another --storage")
    for argv in (["register", "pump", "--model", "m"], ["export", "pump", "--out", "x.pt2"]):
        assert_refused(dfkd(*argv, *store.options[2:]), "study 'pump'", "unknown to MLflow")
    assert lines(file) == before
    assert {each.name for each in MlflowClient(store.tracking).search_experiments()} == experiments


@pytest.mark.parametrize("table", ["customers", "trials", "runs", "metrics"])
def test_a_database_of_another_program_is_not_touched(dfkd, tmp_path, tree, finished, table):
    file = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER)")
        connection.commit()
    before = file.read_bytes()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("pump", trials=1)))
    url, mine = f"sqlite:///{file}", f"sqlite:///{tmp_path}/mine.db"
    for argv in (
        ["study", "study.yaml", "--storage", url, "--tracking-uri", mine],
        ["study", "study.yaml", "--storage", mine, "--tracking-uri", url],
        ["report", "pump", "--storage", url, "--tracking-uri", mine],
        ["sync", "pump", "--storage", url, "--tracking-uri", mine],
        ["register", "pump", "--model", "m", "--tracking-uri", url],
        ["show", "pump", "--storage", url],
    ):
        assert_refused(dfkd(*argv), str(file), "is a database of another program")
    assert file.read_bytes() == before and not file.with_name(f"{file.name}-wal").exists()


def test_a_study_that_was_begun_is_set_up_by_the_next(dfkd, tmp_path, store, tree):
    """Who dies while a study is made leaves one without identity."""
    from dfkd_tune.search.sampling import open_study
    from dfkd_tune.search.storage import open_storage

    storage = open_storage(store.storage)
    open_study(storage, "cut-short", 0).set_user_attr("pool", 7)
    storage.engine.dispose()
    assert_refused(dfkd("show", "cut-short", *store.options[:2]), "was begun, but never set up", "dfkd-tune study")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("cut-short", trials=1, reruns=0)))
    assert dfkd("study", "study.yaml", "--quiet", *store.options).status == 0
    assert len(store.trials("cut-short")) == 1


@pytest.fixture
def elsewhere(store):
    """An experiment that another program made, with a run."""
    client = MlflowClient(store.tracking)
    experiment = client.create_experiment("somebodys")
    run = client.create_run(experiment, run_name="mine")
    client.log_param(run.info.run_id, "seed", "many")
    client.set_terminated(run.info.run_id)
    yield client, experiment, run.info.run_id
    client.delete_experiment(experiment)


def test_an_experiment_of_another_program_is_refused(dfkd, tmp_path, store, tree, finished, elsewhere):
    client, experiment, run = elsewhere
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("somebodys")))
    for argv in (
        ["study", "study.yaml", *store.options],
        ["register", "somebodys", "--model", "m", *store.options[2:]],
        ["export", "somebodys", "--out", "x.pt2", *store.options[2:]],
    ):
        ended = dfkd(*argv)
        assert_refused(ended, "study 'somebodys'", "whose runs dfkd-tune did not make", "--tracking-uri")
    assert_refused(dfkd("distill", "--run", run, "--out", "x", *store.options[2:]), f"run {run}", "no trial of a study")
    assert_refused(dfkd("show", "somebodys", *store.options[:2]), "does not exist here")
    (kept,) = client.search_runs([experiment])
    assert kept.data.params == {"seed": "many"} and not [tag for tag in kept.data.tags if tag.startswith("dfkd")]


def test_a_deleted_experiment_is_told_and_restored(dfkd, tmp_path, store, tree, caplog):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("deleted", trials=1, reruns=0)))
    assert dfkd("study", "study.yaml", "--quiet", *store.options).status == 0
    client = MlflowClient(store.tracking)
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)
    for argv in (["register", "deleted", "--model", "m"], ["export", "deleted", "--out", "x.pt2"]):
        ended = dfkd(*argv, *store.options[2:])
        assert_refused(ended, "study 'deleted'", "was deleted in MLflow", "dfkd-tune sync deleted restores it")
    assert dfkd("report", "deleted", *store.options).status == 0
    assert "the report leaves out what MLflow would add: study 'deleted': was deleted in MLflow" in caplog.text
    synced = dfkd("sync", "deleted", *store.options)
    assert "runs in MLflow; the experiment restored, which had been deleted" in synced.out, synced
    assert "nothing was missing" not in synced.out
    assert client.get_experiment_by_name("deleted").lifecycle_stage == "active"
    assert "nothing was missing" in dfkd("sync", "deleted", *store.options).out
    assert dfkd("export", "deleted", "--out", "x.pt2", *store.options[2:]).status == 0


def test_a_study_of_another_teacher_is_not_mixed_into_an_experiment(dfkd, tmp_path, store, tree, finished):
    """A new storage, the same MLflow and name: students of both would be compared with each other."""
    torch.manual_seed(5)
    save_pt2(network(4, 8, 1, seed=5), tmp_path / "other.pt2", torch.export.Dim("rows"))
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(tree("finished") | {"teacher": str(tmp_path / "other.pt2"), "features": None})
    )
    runs = len(store.runs("finished"))
    ended = dfkd("study", "study.yaml", "--storage", f"sqlite:///{tmp_path}/fresh.db", *store.options[2:])
    assert_refused(ended, "study 'finished'", "with another teacher", "take another name")
    assert len(store.runs("finished")) == runs
