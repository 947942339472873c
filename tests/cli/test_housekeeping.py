"""Commands for whoever has many studies, as they are typed: list, show, compare, remove, rename, rollback; check and worker by default."""

import json
import os

import pytest
import yaml
from asked import assert_refused, files_of
from mlflow import MlflowClient
from optuna import load_study
from tiny_studies import Store

from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")

DECLARED = yaml.safe_dump({"features": [{"name": name, "mean": 1.0, "std": 2.0} for name in "abc"]})


@pytest.fixture(scope="module")
def two(store, finished, tiny, tmp_path_factory) -> Store:
    """A directory with two finished studies of one teacher."""
    folder = tmp_path_factory.mktemp("two")
    store.hand_out(folder)
    home = Store(folder)
    for name, trials in (("pump", 2), ("valve", 3)):
        run_study(tiny(name, trials=trials, reruns=1, leaders=1), home.storage, home.tracking)
    return home


@pytest.fixture
def own(two, tmp_path_factory, tiny, store) -> Store:
    """A directory with a finished study that a test may change."""
    folder = tmp_path_factory.mktemp("own")
    store.hand_out(folder)
    home = Store(folder)
    run_study(tiny("pump", trials=2), home.storage, home.tracking)
    return home


@pytest.fixture(autouse=True)
def default_tracking(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_piped_table_is_not_folded_and_a_recipe_is_plain(dfkd, two):
    ended = dfkd("show", "valve", cwd=two.home)
    lines = ended.out.splitlines()
    rows = lines[lines.index(next(line for line in lines if line.startswith("trial "))) + 1 :]
    numbers = [
        int(row.split()[0])
        for row in rows[: rows.index(next(row for row in rows if row.startswith("all:") or not row.strip()))]
    ]
    assert sorted(numbers) == [0, 1, 2]  # one line a trial
    plain = json.loads(dfkd("show", "valve", "--json", cwd=two.home).out)
    assert all("kind" in trial["attributes"]["recipe"]["generator"] for trial in plain["trials"])


def test_fewer_trials_than_there_are_leave_the_total(dfkd, own, tiny):
    told = run_study(tiny("pump", trials=1), own.storage, own.tracking).progress
    assert (told.ended, told.total) == (2, 2)


def test_list(dfkd, two, tmp_path):
    ended = dfkd("list", cwd=two.home)
    head, first, second = ended.out.splitlines()
    assert ended.status == 0 and head.split() == ["study", "teacher", "trials", "best", "tier", "changed"]
    assert first.startswith("valve") and second.startswith("pump")
    assert "teacher.safetensors" in first and "robust" in first and "T0" in first
    plain = json.loads(dfkd("list", "--json", cwd=two.home).out)
    assert [study["name"] for study in plain] == ["valve", "pump"]
    assert sum(plain[0]["trials"].values()) == plain[0]["total"] == 3
    assert_refused(dfkd("list", cwd=tmp_path), "there is no", "optuna.db")
    assert files_of(tmp_path) == set()


def test_show_takes_the_last_changed(dfkd, two):
    assert dfkd("show", cwd=two.home).out == dfkd("show", "valve", cwd=two.home).out
    assert json.loads(dfkd("show", "--json", cwd=two.home).out)["study"] == "valve"


def test_compare(dfkd, two):
    ended = dfkd("compare", "pump", "valve", cwd=two.home)
    assert ended.status == 0, ended.err
    assert "study.trials: pump 2, valve 3" in ended.out
    assert "seed noise" in ended.out.splitlines()[-1]
    plain = json.loads(dfkd("compare", "pump", "valve", "--json", cwd=two.home).out)
    assert {study["name"] for study in plain["studies"]} == {"pump", "valve"}
    assert plain["settings"] == {"study.trials": {"pump": 2, "valve": 3}}
    assert all(study["low"] < study["mean"] < study["high"] for study in plain["studies"] if study["seeds"] > 1)
    assert_refused(dfkd("compare", "pump", "none", cwd=two.home), "study 'none'", "does not exist")
    assert dfkd("compare", "pump", "pump", cwd=two.home).status == 2


def test_compare_refuses_another_tier(dfkd, two, tiny, tmp_path):
    (tmp_path / "features.yaml").write_text(DECLARED)
    prepared = tiny("declared", trials=1, features=str(tmp_path / "features.yaml"))
    run_study(prepared, two.storage, two.tracking)
    ended = dfkd("compare", "pump", "declared", cwd=two.home)
    assert_refused(ended, "studies 'pump' and 'declared'", f"tiers T0 and {prepared.inputs.tier}")
    assert dfkd("remove", "declared", "--yes", cwd=two.home).status == 0


def test_remove_lists_first_and_acts_when_told(dfkd, own, monkeypatch):
    before = {file for file in files_of(own.home) if "spool" in file}
    listed = dfkd("remove", "pump", cwd=own.home)
    assert (listed.status, "--yes" in listed.err) == (0, True)
    assert listed.out.splitlines()[0] == "study pump with 2 trials"
    assert {file for file in files_of(own.home) if "spool" in file} == before

    for answer, gone in (("n", False), ("y", True)):
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        with os.fdopen(theirs) as terminal, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", terminal)
            assert dfkd("remove", "pump", cwd=own.home).status == 0
        os.close(ours)
        assert (dfkd("show", "pump", cwd=own.home).status == 1) == gone
    assert_refused(dfkd("remove", "pump", "--yes", cwd=own.home), "study 'pump'", "does not exist here")


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


def test_rollback(dfkd, own):
    numbers = [trial.number for trial in own.trials("pump") if trial.state.name == "COMPLETE"][:2]
    for number in numbers:
        assert dfkd("register", "pump", "--model", "pump", "--trial", number, cwd=own.home).status == 0
    ended = dfkd("rollback", "pump", cwd=own.home)
    assert (ended.status, ended.out) == (0, "models:/pump@champion is version 1 again; it was version 2\n")
    assert MlflowClient(own.tracking).get_model_version_by_alias("pump", "champion").version == 1
    assert_refused(dfkd("rollback", "pump", cwd=own.home), "alias 'champion'", "no earlier version")
    assert_refused(dfkd("rollback", "none", cwd=own.home), "model 'none'", "known: pump")
    assert_refused(dfkd("remove", "pump", "--yes", cwd=own.home), "pump version 1", "delete the registered versions")


def test_check_takes_a_teacher_as_study_does(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    ended = dfkd("check", *given, "--no-estimate")
    assert ended.status == 0, ended.err
    assert "3 features, 1 output" in ended.out and "tier T0" in ended.out
    (tmp_path / "features.yaml").write_text(DECLARED)
    declared = dfkd("check", *given, "--features", "features.yaml", "--no-estimate")
    assert declared.status == 0 and "tier T0" not in declared.out
    assert files_of(tmp_path) == {"features.yaml"}
