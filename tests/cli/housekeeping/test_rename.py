"""``rename``: every command finds a study by its new name."""

import pytest
import yaml
from asked import assert_refused
from mlflow import MlflowClient
from optuna import load_study
from tiny_studies import Store

pytestmark = pytest.mark.usefixtures("undrawn")


def assert_only_new(own: Store) -> None:
    """No tag and no description of the renamed study, nor of the version of model ``stock`` made from it, has the old name."""
    made = MlflowClient(own.tracking)
    experiment = made.get_experiment_by_name("valve")
    version = made.get_model_version("stock", "1")
    assert "study [valve](#/experiments/" in version.description
    held = [version.description, version.tags, experiment.tags]
    held += [run.data.tags for run in made.search_runs([experiment.experiment_id])]
    held += [model.tags for model in made.search_logged_models([experiment.experiment_id])]
    study = load_study(study_name="valve", storage=own.storage)
    notes = study._storage.get_study_system_attrs(study._study_id)
    assert any("dfkd-tune register valve" in str(text) for text in notes.values())
    assert "pump" not in str(held) + str(notes)


def test_a_renamed_study_is_found_by_every_command(dfkd, own, tree):
    assert dfkd("register", "pump", "--model", "stock", cwd=own.home).status == 0
    assert dfkd("rename", "pump", "valve", cwd=own.home).out == (
        "pump is now valve; its study file needs the new name to go on with it\n"
    )
    assert_refused(dfkd("show", "pump", cwd=own.home), "known: valve")
    assert_only_new(own)
    assert "nothing was missing" in dfkd("sync", "valve", cwd=own.home).out
    (own.home / "study.yaml").write_text(yaml.safe_dump(tree("pump", trials=3)))
    resumed = dfkd("study", "study.yaml", "--name", "valve", "--quiet", cwd=own.home)
    assert resumed.status == 0, resumed.err
    assert len(own.trials("valve")) == 3
    assert dfkd("worker", "valve", cwd=own.home).out.endswith("valve: all 3 trials are done\n")
    for command in (["show"], ["report"], ["export", "--out", "student.pt2"], ["register", "--model", "valve"]):
        ended = dfkd(command[0], "valve", *command[1:], cwd=own.home)
        assert ended.status == 0, ended.err
