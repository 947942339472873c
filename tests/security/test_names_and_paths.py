"""Names and paths that would lead elsewhere: in options, in what an MLflow server answers, in a spool of somebody else's."""

import json

import pytest
import yaml
from asked import assert_refused, files_of
from proxies import between

from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.features_file import parse_features, read_features
from dfkd_tune.locations.paths import spool_folder
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.sync import sync
from dfkd_tune.tracking.outbox import REFUSED, Outbox, Record
from dfkd_tune.utils import yaml_io

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
    spool = Outbox(spool_folder(storage, name), storage)
    session = spool.begin()
    session.append(Record("study", name=name))
    good = session.append(Record("open", "a" * 32, "trial-0000", params={"trial": "0"}, tags={"dfkd.kind": "trial"}))
    close = json.loads(good.read_text()) | {"event": "close", "status": "FINISHED"}
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


# --- YAML that unfolds ------------------------------------------------------------------------------------------------


def bomb(levels: int = 24) -> str:
    """A few hundred bytes that stand for nine values to the power of ``levels``."""
    lists = [f"&a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(levels)]
    return f"[{', '.join(lists)}]"


@pytest.mark.parametrize("key", ["simplex", "features", "grid", "rank_correlation", "other"])
def test_aliases_that_unfold_are_refused(tmp_path, key):
    path = tmp_path / "features.yaml"
    path.write_text(f"features: [a, b]\n{key}: {bomb()}\n" if key != "features" else f"features: {bomb()}\n")
    with pytest.raises(FeaturesError, match="stand for more than 1,000,000 values"):
        read_features(path)


@pytest.mark.parametrize("key", ["search", "teacher", "study", "preset", "features"])
def test_aliases_that_unfold_are_refused_in_a_study(dfkd, tmp_path, key):
    (tmp_path / "s.yaml").write_text(f"{key}: {bomb()}\n")
    assert_refused(dfkd("check", "s.yaml"), "s.yaml:1:", "stand for more than")


@pytest.mark.parametrize("levels", [5, 6])
def test_a_value_that_unfolds_a_little_is_quoted_in_a_line(tmp_path, levels):
    text = bomb(levels)
    for tree in (
        f"features: [a, {{name: b, levels: {text}}}]",
        f"features: [{text}]",
        f"features: [a, b]\nsimplex: {text}",
        f"grid: {text}",
    ):
        path = tmp_path / "features.yaml"
        path.write_text(tree)
        with pytest.raises(FeaturesError) as caught:
            read_features(path)
        assert len(str(caught.value)) < 1_000
    for search in (
        text,
        f"{{optimizer.lr: {text}}}",
        f"{{generator.kind: {text}}}",
        f"{{student.width: {{low: {text}}}}}",
        f"{{bound: {text}}}",
    ):
        with pytest.raises(SpecError) as caught:
            spec = parse_spec(yaml_io.parse(f"teacher: x\nsearch: {search}", "here", SpecError), "here")
            make_space(Recipe(), spec.search, (Columns(3), 1), None)
        assert len(str(caught.value)) < 1_000


def test_files_that_are_too_large_or_too_deep_are_refused(dfkd, tmp_path):
    path = tmp_path / "features.yaml"
    with path.open("wb") as file:
        file.truncate(190 * 2**20)
    with pytest.raises(FeaturesError, match="is larger than 16 MiB"):
        read_features(path)
    path.rename(tmp_path / "study.yaml")
    assert_refused(dfkd("check", "study.yaml"), "study.yaml", "is larger than 1 MiB")
    for text in ("[" * 51 + "]" * 51, "a: " + "{a: " * 50 + "1" + "}" * 50):
        with pytest.raises(FeaturesError, match="more than 50 lists and mappings"):
            yaml_io.parse(text, "here", FeaturesError)
    with pytest.raises(FeaturesError, match="more digits"):
        yaml_io.parse("a: 0x1" + "0" * 400, "here", FeaturesError)


def test_more_features_than_there_may_be_are_refused():
    with pytest.raises(FeaturesError, match="100,001 features, 100,000 at most"):
        parse_features({"features": ["a"] * 100_001}, "here")
    with pytest.raises(FeaturesError, match="16,777,216 values are more than"):
        parse_features({"grid": {"height": 4096, "width": 4096}}, "here")
    with pytest.raises(SpecError, match="2,000 choices, 1,000 at most"):
        make_space(Recipe(), {"optimizer.lr": [1e-3 + i * 1e-9 for i in range(2_000)]}, (Columns(3), 1), None)
