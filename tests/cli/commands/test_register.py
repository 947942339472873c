"""``register``: it says what was registered, and a command that serves it."""

import shlex

import pytest
from mlflow import MlflowClient


def test_the_command_that_it_prints_is_one_of_a_shell(dfkd, store, finished, tmp_path):
    """Also where the folder of the store has a space in its name."""
    home = tmp_path / "two words"
    store.lend_runs(home)
    uri = f"sqlite:///{home}/mlruns/mlflow.db"
    ended = dfkd("register", "finished", "--model", "served here", "--tracking-uri", uri)
    assert ended.status == 0, ended.err
    told = ended.out.splitlines()
    version = MlflowClient(uri).get_model_version_by_alias("served here", "champion")
    assert told[0].startswith(f"registered models:/served here@champion, version {version.version}: trial ")
    assert told[1].startswith(f"certificate runs:/{version.run_id}/certificate: RMSE ")
    words = shlex.split(told[-1].removeprefix("Serve it: "))
    assert words[:5] == [f"MLFLOW_TRACKING_URI={uri}", "mlflow", "models", "serve", "-m"]
    assert words[5] == "models:/served here@champion"


def test_declared_columns_are_a_version_of_their_own(dfkd, store, finished, tmp_path):
    """Of features without names, which are columns without names."""
    store.lend_runs(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    for more in ([], ["--typed-columns"], ["--typed-columns"]):
        ended = dfkd("register", "finished", "--model", "told", "--tracking-uri", uri, *more)
        assert ended.status == 0, ended.err
    client = MlflowClient(uri)
    assert {
        each.version: each.tags.get("dfkd.typed_columns") for each in client.search_model_versions("name = 'told'")
    } == {
        1: None,
        2: "true",
    }
    assert str(client.get_model_version_by_alias("told", "champion").version) == "2"


@pytest.mark.parametrize(
    "more", [["--trial", "1", "--smallest-within", "5%"], ["--smallest-within", "5"], ["--trial", "-1"]]
)
def test_what_excludes_each_other_is_told_before_anything_is_read(dfkd, tmp_path, more):
    ended = dfkd("register", "pump", "--model", "m", *more)
    assert ended.status == 2 and "Usage:" in ended.err
    assert list(tmp_path.iterdir()) == []
