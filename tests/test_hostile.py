"""Names and paths that would lead elsewhere: in options, in what an MLflow server answers, in a spool of somebody else's."""

import json

import pytest
import yaml
from asked import assert_refused, files_of
from proxies import between

from dfkd_tune.places import spool_folder
from dfkd_tune.spool import REFUSED, Record, Spool
from dfkd_tune.sync import sync

UP = ["../x", "..", "a/b", "/etc/x", "a\\b", ".x", "a\nb", "%2e%2e", ""]


@pytest.mark.parametrize("name", UP)
def test_names_that_lead_elsewhere_are_refused(dfkd, tmp_path, store, finished, tree, name):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree(name)))
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(tree("good")))
    before = files_of(tmp_path)
    assert_refused(dfkd("study", "study.yaml", *store.options), "study.yaml", "letters")
    assert_refused(dfkd("study", "good.yaml", "--name", name, *store.options), "--name")
    for argv in (["show", name], ["worker", name], ["report", name], ["sync", name]):
        assert dfkd(*argv, *store.options[:2]).status == 1
    for option in (["--model", name], ["--model", "m", "--alias", name]):
        assert_refused(dfkd("register", "finished", *option, *store.options[2:]), option[-2])
    assert_refused(dfkd("export", name, "--out", "x.pt2", *store.options[2:]), "study")
    assert files_of(tmp_path) == before
    assert not [file for file in tmp_path.parent.iterdir() if file.name == "x"]


LIES = {
    "a file outside": (b'"result.json"', b'"../../../escaped"'),
    "a file of any place": (b'"result.json"', b'"/tmp/escaped"'),
    "a file by another spelling": (b'"result.json"', b'"%2e%2e/%2e%2e/escaped"'),
    "no place for artifacts": (b'"artifact_uri"', b'"nothing"'),
    "another kind of answer": (b'"experiment"', b'"nothing"'),
}


def export(dfkd, url: str, said: bytes, lie: bytes):
    """The outcome of an export through a server that says something else."""
    told = []

    def turn(path: str, data: bytes) -> bytes:
        told.append(said in data)
        return data.replace(said, lie)

    with between(url, turn) as liar:
        ended = dfkd("export", "served", "--out", "x.pt2", "--tracking-uri", liar)
    assert any(told), "nothing was turned"
    return ended


@pytest.mark.parametrize(("said", "lie"), LIES.values(), ids=LIES)
def test_a_server_that_lies_is_told(dfkd, tmp_path, mlflow_server, served, said, lie):
    assert_refused(export(dfkd, mlflow_server.url, said, lie))
    assert files_of(tmp_path) == set()
    assert not [file for place in (tmp_path, *tmp_path.parents) for file in place.glob("escaped*")]


def test_a_name_that_asks_is_not_asked_for(dfkd, mlflow_server, served):
    lie = b'"dfkd.promoted", "value": "x\' or name = \'y"}, {"key": "other"'
    ended = export(dfkd, mlflow_server.url, b'"dfkd.promoted"', lie)
    assert ended.status == 0 and f"trial {served.best[1]}" in ended.out


def test_a_spool_that_lies_is_set_aside(store, tmp_path):
    """A record names a file above the run's artifacts, and one that no filter should hold."""
    storage, name = f"sqlite:///{tmp_path}/mlruns/optuna.db", "lying-spool"
    spool = Spool(spool_folder(storage, name), storage)
    session = spool.begin()
    session.append(Record("study", name=name))
    good = session.append(Record("open", "a" * 32, "trial-0000", params={"trial": "0"}, tags={"dfkd.kind": "trial"}))
    close = json.loads(good.read_text()) | {"what": "close", "status": "FINISHED"}
    sha = spool.keep(b"anything")
    for number, lie in enumerate(
        [{"files": {"student/../../../../up": sha}}, {"files": {"student/x": "../about.json"}}]
    ):
        (session.folder / f"0000000{number + 3}.json").write_text(json.dumps(close | lie))
    session.release()
    done = sync(storage, store.tracking, name)
    assert len(done.refused) == 2
    assert [file.name for file in (session.folder / REFUSED).iterdir()] == ["00000003.json", "00000004.json"]
    assert not list(tmp_path.rglob("up")) and not list((store.home / "mlruns").rglob("up"))
