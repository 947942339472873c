"""Bad input on the command line: told by place and rule, in one line, before anything is written."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from asked import GOOD, assert_refused, files_of, network, save_pt2
from processes import free_port
from safetensors.torch import save_file


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"trails": 3}, ["spec.yaml: trails: unknown key", "known keys: study, teacher"]),
        ({"study": {"trails": 3}}, ["study.trails", "unknown key", "trials"]),
        ({"study": {"trials": "many"}}, ["study.trials", "'many'"]),
        ({"study": {"trials": 0}}, ["study.trials", "got 0"]),
        ({"study": {"objective": "mae"}}, ["study.objective", "'mae'", "rmse"]),
        ({"study": {"name": "a/b"}}, ["study", "name"]),
        ({"budget": {"batch": 3}}, ["budget.batch", "got 3"]),
        ({"preset": "best"}, ["preset", "'best'", "known: random, adversarial, paper"]),
        ({"search": {"generator.kind": ["magic"]}}, ["search.generator.kind", "'magic'", "gaussian, "]),
        ({"search": {"magic.kind": ["a"]}}, ["search.magic.kind", "generator", "optimizer"]),
        ({"search": {"optimizer.speed": [1]}}, ["search.optimizer.speed", "'speed'", "lr"]),
        (
            {"search": {"optimizer.lr": {"low": 0.1, "high": 0.01}}},
            ["search.optimizer.lr", "low must be <= high", "0.1 > 0.01"],
        ),
        (
            {"search": {"optimizer.lr": {"low": 0.0, "high": 0.1, "log": True}}},
            ["search.optimizer.lr", "low must be > 0"],
        ),
        ({"search": {"optimizer.lr": {"low": "small", "high": 0.1}}}, ["search.optimizer.lr.low", "'small'"]),
        ({"search": {"optimizer.lr": 0.1}}, ["search.optimizer.lr", "got 0.1"]),
        ({"student": {"max_parameters": 2}}, ["student.max_parameters", "no student fits 2"]),
        ({"student": {"max_parameters": 50, "compression": 2.0}}, ["student", "exclude each other"]),
        ({"features": "nowhere.yaml"}, ["nowhere.yaml: no such file"]),
        ({"teacher": None}, ["spec.yaml: teacher: required"]),
        ({"teacher": "nowhere.pt2"}, ["nowhere.pt2: no such file"]),
        ({"teacher": "spec.yaml"}, ["unknown kind of model file '.yaml'", ".pt2"]),
        ({"teacher": "no.such.module:teacher"}, ["no.such.module:teacher", "cannot be imported"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("command", ["check", "study"])
def test_a_wrong_spec_is_told_by_place_and_rule(dfkd, tmp_path, small_teacher, command, changed, named):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(GOOD | {"teacher": small_teacher} | changed))
    ended = dfkd(command, "spec.yaml")
    assert_refused(ended, *named)
    assert files_of(tmp_path) == {"spec.yaml"}


def test_a_number_without_a_point_is_a_number(dfkd, tmp_path, small_teacher):
    text = yaml.safe_dump({"teacher": small_teacher})
    (tmp_path / "spec.yaml").write_text(f"{text}search: {{optimizer.lr: {{low: 1e-4, high: 1e-2, log: true}}}}\n")
    ended = dfkd("check", "spec.yaml")
    assert ended.status == 0, ended.err
    assert "0.0001 to 0.01, logarithmic" in ended.out


@pytest.fixture(scope="module")
def bad_teachers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    good = network(3, 4, 1)
    save_pt2(good, folder / "good.pt2", torch.export.Dim("batch", min=1))
    save_pt2(good, folder / "fixed.pt2", None)
    (folder / "truncated.pt2").write_bytes((folder / "good.pt2").read_bytes()[:2000])
    (folder / "empty.pt2").touch()
    (folder / "foreign.pt2").write_text("not a model at all")
    (folder / "folder.pt2").mkdir()
    with torch.no_grad():
        good[2].weight[0, 0] = float("nan")
    save_pt2(good, folder / "nan.pt2", torch.export.Dim("batch", min=1))
    save_file(good.state_dict(), folder / "weights.safetensors")
    (folder / "two.yaml").write_text("features: [a, b]\n")
    return folder


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("missing.pt2", "no such file"),
        ("empty.pt2", "empty"),
        ("truncated.pt2", "cut short"),
        ("foreign.pt2", "not a .pt2 file"),
        ("folder.pt2", "directory"),
        ("nan.pt2", "NaN"),
        ("fixed.pt2", "fixed batch size"),
        ("weights.safetensors", "--architecture"),
    ],
)
def test_a_wrong_teacher_is_told_before_anything_is_written(dfkd, tmp_path, bad_teachers, file, named):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(GOOD | {"teacher": str(bad_teachers / file)}))
    assert_refused(dfkd("check", "spec.yaml"), file, named)
    assert_refused(dfkd("study", "spec.yaml"), file, named)
    assert_refused(dfkd("distill", "--teacher", bad_teachers / file, "--out", "made"), file, named)
    assert files_of(tmp_path) == {"spec.yaml"}


def test_a_wrong_number_of_features_is_told(dfkd, tmp_path, bad_teachers):
    spec = GOOD | {"teacher": str(bad_teachers / "good.pt2"), "features": str(bad_teachers / "two.yaml")}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    assert_refused(dfkd("study", "spec.yaml"), "good.pt2", "(2, 2)", "number of features")
    assert files_of(tmp_path) == {"spec.yaml"}


def test_a_place_that_takes_no_files_is_told(dfkd, tmp_path, tree, store, finished, bad_teachers):
    (tmp_path / "file").touch()
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(tree("nowhere")))
    below = f"{tmp_path}/file"
    url = f"sqlite:///{below}/some.db"
    before = files_of(tmp_path)
    assert_refused(dfkd("study", "spec.yaml", "--storage", url, *store.options[2:]), url, f"{below} is a file")
    assert_refused(dfkd("study", "spec.yaml", "--tracking-uri", url, *store.options[:2]), url, f"{below} is a file")
    good = bad_teachers / "good.pt2"
    assert_refused(dfkd("distill", "--teacher", good, "--out", f"{below}/made"), f"{below} is a file")
    exported = dfkd("export", "finished", "--out", f"{below}/student.pt2", *store.options[2:])
    assert_refused(exported, f"{below}/student.pt2", f"{below} is a file")
    assert files_of(tmp_path) == before
    assert "nowhere" not in [experiment for experiment in _experiments(store)]


def test_a_missing_folder_is_not_made(dfkd, tmp_path, tree, finished, store, bad_teachers):
    """It may be misspelled: a study that is kept in a folder of another name is not found again."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(tree("nowhere")))
    (tmp_path / "table.csv").write_text("a\n" + "1\n" * 200)
    folder = tmp_path / "some" / "where"
    url, told = f"sqlite:///{folder}/some.db", [f"there is no folder {folder}", "make it, or choose another place"]
    for argv, place in (
        (["study", "spec.yaml", "--storage", url, *store.options[2:]], url),
        (["study", "spec.yaml", "--storage", "sqlite:////dfkd-no-such/some.db"], "there is no folder /dfkd-no-such"),
        (["study", "spec.yaml", "--tracking-uri", url, *store.options[:2]], url),
        (["show", "finished", "--storage", url], url),
        (["export", "finished", "--out", folder / "student.pt2", *store.options[2:]], "student.pt2"),
        (["report", "finished", "--out", folder / "report.html", *store.options], "report.html"),
        (["describe", "table.csv", "--out", folder / "features.yaml"], "features.yaml"),
        (["distill", "--teacher", bad_teachers / "good.pt2", "--out", folder / "student"], "student"),
    ):
        assert_refused(dfkd(*argv), place, *(told if argv[-1] != "sqlite:////dfkd-no-such/some.db" else told[1:]))
    assert files_of(tmp_path) == {"spec.yaml", "table.csv"} and not Path("/dfkd-no-such").exists()


def test_a_missing_folder_in_the_environment_is_told(dfkd, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///where/mlflow.db")
    assert_refused(dfkd("ui"), "MLFLOW_TRACKING_URI=sqlite:///where/mlflow.db", "there is no folder")


def test_nothing_that_was_given_is_overwritten(dfkd, tmp_path, finished, store, bad_teachers):
    for name in ("recipe.yaml", "architecture.yaml"):
        (tmp_path / name).write_text("steps: 10  # mine\n")
        option = "--recipe" if name == "recipe.yaml" else "--architecture"
        ended = dfkd("distill", "--teacher", bad_teachers / "good.pt2", option, name, "--out", ".")
        assert_refused(ended, f"a new {name} in place of the given one")
    (tmp_path / "pump.yaml").write_text("study: {}\n")
    export = ["export", "finished", *store.options[2:], "--out"]
    assert_refused(dfkd(*export, "pump.safetensors"), "pump.safetensors", "needs pump.yaml", "choose another name")
    assert (tmp_path / "pump.yaml").read_text() == "study: {}\n"
    assert (tmp_path / "recipe.yaml").read_text().endswith("# mine\n")
    assert_refused(dfkd(*export, "pump.onnx", "--format", "pt2"), "pump.onnx: would hold pt2", "name it pump.pt2")
    assert_refused(dfkd(*export, "pump"), "pump: its suffix names no export format", "pt2, onnx, safetensors")
    assert_refused(dfkd(*export, "."), ".: its suffix names")
    (tmp_path / "folder.pt2").mkdir()
    assert_refused(dfkd(*export, "folder.pt2"), "folder.pt2: is a folder", "name a file in it")


def _experiments(store) -> list[str]:
    from mlflow import MlflowClient

    return [experiment.name for experiment in MlflowClient(store.tracking).search_experiments()]


def test_a_database_that_is_down_is_told_without_its_password(dfkd, tmp_path, tree, store):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(tree("nowhere")))
    url = f"postgresql://ann:s3cret@127.0.0.1:{free_port()}/studies"
    for argv in (["study", "spec.yaml", *store.options[2:]], ["show", "finished"]):
        ended = dfkd(*argv, "--storage", url)
        assert_refused(ended, "127.0.0.1")
        assert "s3cret" not in ended.err + ended.out
    assert files_of(tmp_path) == {"spec.yaml"}


def test_a_server_that_is_down_is_told_before_any_trial(dfkd, tmp_path, tree):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(tree("nowhere")))
    uri = f"http://127.0.0.1:{free_port()}"
    assert_refused(dfkd("study", "spec.yaml", "--tracking-uri", uri), uri, "no MLflow server answers")
    for argv in (["register", "finished", "--model", "m"], ["export", "finished", "--out", "x.pt2"]):
        assert_refused(dfkd(*argv, "--tracking-uri", uri), uri, "no MLflow server answers")
    assert files_of(tmp_path) == {"spec.yaml"}


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["study", "{spec}", "--name", "a/b"], ["--name", "'a/b'"]),
        (["register", "finished", "--model", "a/b", "{uri}"], ["--model", "'a/b'"]),
        (["register", "finished", "--model", "m", "--alias", "v1", "{uri}"], ["--alias", "'v1'"]),
        (["register", "finished", "--model", "m", "--trial", "99", "{uri}"], ["no complete trial 99"]),
        (["register", "nowhere", "--model", "m", "{uri}"], ["study 'nowhere'", "finished"]),
        (["export", "nowhere", "--out", "x.pt2", "{uri}"], ["study 'nowhere'", "finished"]),
        (["export", "finished", "--trial", "99", "--out", "x.pt2", "{uri}"], ["no complete trial 99"]),
        (["show", "nowhere", "{storage}"], ["study 'nowhere'", "finished"]),
        (["distill", "--teacher", "{teacher}", "--run", "0" * 32, "--out", "x", "{uri}"], ["0" * 32]),
        (["distill", "--teacher", "{teacher}", "--preset", "best", "--out", "x"], ["--preset", "'best'", "paper"]),
        (["distill", "--teacher", "{teacher}", "--recipe", "no.yaml", "--out", "x"], ["no.yaml", "no such file"]),
        # In a directory where nothing was ever run.
        (["show", "finished"], ["study 'finished'", "optuna.db"]),
        (["register", "finished", "--model", "m"], ["study 'finished'", "mlflow.db"]),
        (["export", "finished", "--out", "x.pt2"], ["study 'finished'", "mlflow.db"]),
        (["distill", "--teacher", "{teacher}", "--run", "0" * 32, "--out", "x"], ["0" * 32, "mlflow.db"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_names_are_told(dfkd, tmp_path, store, finished, bad_teachers, monkeypatch, argv, named):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from dfkd_tune.cli.quickstart import quickstart

    places = {"{spec}": [str(quickstart())], "{teacher}": [str(bad_teachers / "good.pt2")]}
    places |= {"{storage}": store.options[:2], "{uri}": store.options[2:]}
    assert_refused(dfkd(*(word for part in argv for word in places.get(part, [part]))), *named)
    assert files_of(tmp_path) == set()
