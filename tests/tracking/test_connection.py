"""``connection``: an experiment is refused for the runs of another program, and for nothing else."""

import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import TrackingError
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import refuse_foreign


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
