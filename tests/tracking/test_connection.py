"""``connection``: a store is opened or made whole, and an experiment is refused for the runs of another program alone."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import TrackingError
from dfkd_tune.locations.paths import sqlite_url
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import open_client, refuse_foreign


class Racing(MlflowClient):
    """A client beside which another process records a study's first run between two questions."""

    def __init__(self, uri: str, experiment: str) -> None:
        super().__init__(uri)
        self._other, self._experiment, self._asked = MlflowClient(uri), experiment, False

    def search_runs(self, *args, **kwargs):
        found = super().search_runs(*args, **kwargs)
        if not self._asked:
            self._other.create_run(self._experiment, tags={tag.KIND: "study"})
            self._asked = True
        return found


@pytest.fixture
def experiment(store, request) -> str:
    return MlflowClient(store.tracking).create_experiment(request.node.name)


def test_a_new_experiment_is_taken(store, experiment):
    client = MlflowClient(store.tracking)
    refuse_foreign(client, client.get_experiment(experiment))


def test_runs_of_another_program_are_refused(store, experiment):
    client = MlflowClient(store.tracking)
    client.create_run(experiment)
    with pytest.raises(TrackingError, match="whose runs dfkd-tune did not make"):
        refuse_foreign(client, client.get_experiment(experiment))


def test_the_run_that_mlflow_made_for_this_process_is_no_strangers(store, experiment, monkeypatch):
    client = MlflowClient(store.tracking)
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(experiment).info.run_id)
    refuse_foreign(client, client.get_experiment(experiment))


def test_a_study_whose_first_run_another_process_records_meanwhile_is_taken(store, experiment):
    client = Racing(store.tracking, experiment)
    refuse_foreign(client, client.get_experiment(experiment))
    assert len(client.search_runs([experiment])) == 1


KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine

left = int(sys.argv[2])

@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    left -= statement.lstrip().upper().startswith(("CREATE", "ALTER"))
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

from dfkd_tune.tracking.connection import open_client
open_client(sys.argv[1])
"""


@pytest.mark.parametrize("statements", [3, 70])
def test_a_store_whose_making_was_killed_is_made_again(tmp_path, statements):
    """MLflow cannot go on with tables of which some are there."""
    uri = sqlite_url(tmp_path / "mlflow.db")
    done = subprocess.run([sys.executable, "-c", KILLED, uri, str(statements)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "mlflow.db").exists()
    experiment = open_client(uri).get_experiment_by_name("Default")
    assert experiment.artifact_location.startswith((tmp_path / "artifacts").as_uri())
    assert sorted(
        path.name for path in tmp_path.glob("mlflow.db*") if "wal" not in path.name and "shm" not in path.name
    ) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_store_that_mlflow_did_not_finish_may_be_removed(tmp_path):
    uri, file = sqlite_url(tmp_path / "mlflow.db"), tmp_path / "mlflow.db"
    open_client(sqlite_url(tmp_path / "whole.db"))
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "whole.db")) as there,
        contextlib.closing(sqlite3.connect(file)) as here,
    ):
        there.backup(here)
        here.execute("DELETE FROM alembic_version")
        here.execute("DROP TABLE secrets")
        here.commit()
    with pytest.raises(TrackingError, match="remove the file: it holds no run and no model"):
        open_client(uri)
    file.unlink()
    subprocess.run([sys.executable, "-c", KILLED, uri, "1000000"], env=os.environ, check=True)
