"""The command line end to end on tiny studies: what each command leaves, and what it says of bad input."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from conftest import command_line, free_port
from optuna.trial import TrialState
from safetensors.torch import load_file, save_file
from torch import nn

from dfkd_tune.registry import find_run

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "study": ["--n-trials", "--teacher", "--features", "--name", "--seed", "--storage", "--tracking-uri"],
    "distill": ["--teacher", "--preset", "--recipe", "--run", "--features", "--seed", "--out"],
    "check": [],
    "show": ["--json", "--storage"],
    "report": ["--out", "--storage", "--tracking-uri"],
    "register": ["--model", "--trial", "--alias", "--tracking-uri"],
    "export": ["--trial", "--format", "--out", "--precision", "--within", "--tracking-uri"],
    "ui": ["--port", "--tracking-uri"],
}


def network(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*parts[:-1]).eval()


def save_pt2(module: nn.Module, file: Path, rows: object) -> None:
    features = module[0].in_features
    program = torch.export.export(module, (torch.zeros(4, features),), dynamic_shapes=rows and ({0: rows},))
    torch.export.save(program, file)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_refused(ended, *named: str) -> None:
    """One line on stderr, the exit status of an expected failure."""
    assert ended.status == 1, ended
    assert ended.err.startswith("dfkd-tune: ")
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err
    for part in named:
        assert part in ended.err


def test_every_command_explains_itself(dfkd):
    top = dfkd("--help")
    assert top.status == 0
    for name, options in COMMANDS.items():
        assert re.search(rf"^  {name} +\w", top.out, re.MULTILINE)
        own = dfkd(name, "--help")
        assert own.status == 0
        for option in options:
            assert re.search(rf"(^|\s){option}\b", own.out), (name, option)


LIGHT = """
import sys
from dfkd_tune.cli import main
for argv in (["--help"], ["study", "--help"], ["register", "--help"]):
    sys.argv = ["dfkd-tune", *argv]
    try:
        main()
    except SystemExit as end:
        assert not end.code
heavy = {"torch", "optuna", "mlflow", "numpy", "yaml", "pydantic", "rich"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_help_imports_nothing_heavy():
    ended = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_script_is_installed():
    script = Path(sys.executable).parent / "dfkd-tune"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert re.search(r"\d+\.\d+", ended.stdout)
    ended = subprocess.run([script, "check", "nowhere.yaml"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "dfkd-tune: nowhere.yaml: no such file\n"


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("no-such-command",),
        ("study", "--no-such-option"),
        ("study", "--n-trials", "0"),
        ("study", "--n-trials", "many"),
        ("study", "--seed", "-1"),
        ("show",),
        ("register", "finished"),
        ("export", "finished", "--format", "docx", "--out", "x"),
        ("ui", "--port", "99999"),
        ("distill", "--teacher", "t.pt2", "--preset", "paper", "--recipe", "r.yaml", "--out", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart(dfkd, tmp_path, argv):
    ended = dfkd(*argv)
    assert ended.status == 2
    assert "Usage:" in ended.err
    assert "Traceback" not in ended.err
    assert files_of(tmp_path) == set()


def test_the_quickstart_is_sound(dfkd, tmp_path):
    from dfkd_tune.quickstart import quickstart

    ended = dfkd("check", quickstart())
    assert ended.status == 0, ended.err
    assert "quickstart: 20 trials" in ended.out
    assert "21 features, 1 outputs, differentiable" in ended.out
    assert "at most 1,151 parameters" in ended.out
    assert files_of(tmp_path) == set()


def test_the_wheel_holds_the_quickstart(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(tmp_path)]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    for name in ("quickstart.yaml", "quickstart_teacher.pt2", "quickstart_features.yaml"):
        assert f"dfkd_tune/studies/{name}" in names
    tops = sorted({name.partition("/")[0] for name in names})
    assert tops[0] == "dfkd_tune" and tops[1].endswith(".dist-info") and len(tops) == 2
    (tmp_path / "elsewhere").mkdir()
    ask = "from dfkd_tune.quickstart import quickstart as q; from dfkd_tune.spec import read_spec; s = read_spec(q());"
    ask += "print(q(), s.teacher.path, s.features, sep='\\n')"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    asked = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env=environment, cwd=tmp_path / "elsewhere"
    )
    assert asked.returncode == 0, asked.stderr
    found = [Path(line) for line in asked.stdout.splitlines()]
    assert len(found) == 3
    for path in found:
        assert path.parent == tmp_path / "installed" / "dfkd_tune" / "studies"
        assert path.exists()


def test_a_study_ends_with_its_table_and_the_next_commands(dfkd, tmp_path, store, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("ignored", trials=9)))
    argv = ["study", "study.yaml", "--name", "pump", "--n-trials", "2", "--seed", "7", *store.options]
    ended = dfkd(*argv)
    assert ended.status == 0, ended.err
    assert re.search(r"trial +rmse +stress +parameters +recipe", ended.out)
    assert "Promoted: trial" in ended.out
    assert "The untuned preset at the same budget" in ended.out
    assert f"dfkd-tune ui --tracking-uri {store.tracking}" in ended.out
    assert f"dfkd-tune register pump --model pump --tracking-uri {store.tracking}" in ended.out
    assert len(store.trials("pump")) == 2
    assert files_of(tmp_path) == {"study.yaml"}

    again = dfkd(*argv)
    assert again.status == 0
    assert re.search(r"Promoted: .*", again.out)[0] == re.search(r"Promoted: .*", ended.out)[0]
    assert_refused(dfkd(*argv, "--seed", "8"), "study 'pump'", "seed: 7 -> 8", "--name")


def test_a_study_without_urls_lives_in_mlruns(dfkd, tmp_path, store, small_teacher, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store.hand_out(tmp_path)
    (tmp_path / "teacher").symlink_to(Path(small_teacher["path"]).parent)
    (tmp_path / "sub").mkdir()
    # Paths in a study file are relative to it.
    teacher = {"path": "../teacher/teacher.safetensors", "architecture": "../teacher/teacher.yaml"}
    (tmp_path / "sub" / "lone.yaml").write_text(yaml.safe_dump(GOOD | {"teacher": teacher, "search": {}}))
    ended = dfkd("study", "sub/lone.yaml")
    assert ended.status == 0, ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "teacher", "mlruns"}
    kept = {path.name for path in (tmp_path / "mlruns").iterdir() if not path.name.endswith((".lock", "-wal", "-shm"))}
    assert kept == {"mlflow.db", "optuna.db", "artifacts", "spool"}
    assert "dfkd-tune register lone --model lone" in ended.out

    shown = dfkd("show", "lone")
    assert shown.status == 0
    assert "1 complete" in shown.out
    registered = dfkd("register", "lone", "--model", "lone-model")
    assert registered.status == 0, registered.err
    assert registered.out.startswith("registered models:/lone-model@champion, version 1: trial 0")
    assert "version 2" in dfkd("register", "lone", "--model", "lone-model", "--alias", "candidate").out
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "teacher", "mlruns"}


def test_show(dfkd, store, finished):
    shown = dfkd("show", "finished", *store.options[:2])
    assert shown.status == 0
    assert "6 complete" in shown.out
    assert "untuned preset" in shown.out
    rows = re.findall(r"^ +(\d+) +([\d.e+-]+) ", shown.out, re.MULTILINE)
    assert len(rows) == 6
    trials = sorted(store.trials("finished"), key=lambda trial: trial.value)
    assert [int(number) for number, _ in rows] == [trial.number for trial in trials]
    assert [float(value) for _, value in rows] == pytest.approx([t.user_attrs["rmse"] for t in trials], rel=1e-3)
    assert int(rows[0][0]) == finished.best[1]

    plain = json.loads(dfkd("show", "finished", "--json", *store.options[:2]).out)
    assert plain["study"] == "finished"
    trials = store.trials("finished")
    assert [t["value"] for t in plain["trials"]] == [t.value for t in trials]
    assert [t["params"] for t in plain["trials"]] == [t.params for t in trials]
    assert {t["state"] for t in plain["trials"]} == {"COMPLETE"}


def test_an_exported_student_is_a_teacher(dfkd, tmp_path, store, finished):
    url = store.options[2:]
    best = dfkd("export", "finished", "--format", "safetensors", "--out", "out/student.safetensors", *url)
    assert best.status == 0, best.err
    assert f"trial {finished.promoted.trial}, RMSE {finished.promoted.rmse:.4g}" in best.out
    assert files_of(tmp_path / "out") == {"student.safetensors", "student.yaml"}
    assert dfkd("export", "finished", "--out", "out/student.pt2", *url).status == 0
    other = next(n for n in range(6) if n != finished.promoted.trial)
    assert dfkd("export", "finished", "--trial", other, "--out", "out/other.pt2", *url).status == 0

    from dfkd_tune import load_teacher

    folder = tmp_path / "out"
    x = torch.randn(9, 3)
    weights = load_teacher(folder / "student.safetensors", folder / "student.yaml")
    with torch.no_grad():
        assert torch.allclose(weights(x), load_teacher(folder / "student.pt2")(x), atol=1e-6)
        assert not torch.allclose(weights(x), load_teacher(folder / "other.pt2")(x), atol=1e-3)
    (tmp_path / "again.yaml").write_text(
        "teacher: {path: out/student.safetensors, architecture: out/student.yaml}\nstudent: {compression: 2}\n"
    )
    assert dfkd("check", "again.yaml").status == 0


def test_distill_writes_one_student(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    recipe = {"generator": {"kind": "direct", "steps": 1}, "student": {"width": 5}, "steps": 200, "batch": 20}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    one = dfkd("distill", *given, "--recipe", "recipe.yaml", "--out", "one")
    assert one.status == 0, one.err
    made = {"student.pt2", "student.safetensors", "architecture.yaml", "recipe.yaml", "result.json", "sha256.json"}
    assert files_of(tmp_path / "one") == made
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert f"RMSE {result['rmse']:.4g}" in one.out
    assert result["parameters"] == 26
    x = torch.randn(5, 3)
    state = load_file(tmp_path / "one" / "student.safetensors")
    with torch.no_grad():
        answers = torch.tanh(x @ state["0.weight"].T + state["0.bias"]) @ state["2.weight"].T + state["2.bias"]
        assert torch.allclose(torch.export.load(tmp_path / "one" / "student.pt2").module()(x), answers, atol=1e-6)

    # The recipe that was written gives the student again; another seed gives another one.
    assert dfkd("distill", *given, "--recipe", "one/recipe.yaml", "--out", "two").status == 0
    again = load_file(tmp_path / "two" / "student.safetensors")
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert dfkd("distill", *given, "--recipe", "recipe.yaml", "--seed", "1", "--out", "three").status == 0
    other = load_file(tmp_path / "three" / "student.safetensors")
    assert not torch.allclose(other["0.weight"], state["0.weight"])
    # Nothing is recorded.
    assert not (tmp_path / "mlruns").exists()


def test_distill_takes_a_preset(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    ended = dfkd("distill", *given, "--preset", "random", "--out", "made")
    assert ended.status == 0, ended.err
    recipe = yaml.safe_load((tmp_path / "made" / "recipe.yaml").read_text())
    assert recipe["generator"]["kind"] == "gaussian"
    assert recipe["steps"] == 20_000
    # A student of three times the teacher's width and full training comes close.
    assert json.loads((tmp_path / "made" / "result.json").read_text())["nrmse"] < 0.1


def test_distill_replays_a_run(dfkd, tmp_path, store, finished, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"], *store.options[2:]]
    for run in [
        *store.runs("finished", "trial")[:2],
        *(store.runs("finished", kind)[0] for kind in ("rerun", "baseline")),
    ]:
        ended = dfkd("distill", *given, "--run", run.info.run_id, "--out", "replayed")
        assert ended.status == 0, ended.err
        recorded = Path(run.info.artifact_uri.removeprefix("file://")) / "student"
        before, after = (load_file(folder / "student.safetensors") for folder in (recorded, tmp_path / "replayed"))
        assert before.keys() == after.keys()
        for key in before:
            assert torch.allclose(before[key], after[key], atol=1e-5)
        assert json.loads((tmp_path / "replayed" / "result.json").read_text())["rmse"] == pytest.approx(
            run.data.metrics["rmse"], rel=1e-3
        )


def test_raw_units(dfkd, tmp_path, store):
    """With means and deviations declared, teacher and student both take and give the user's own units."""
    torch.manual_seed(5)
    mean, std = torch.tensor([1000.0, -3.0, 0.02]), torch.tensor([200.0, 0.5, 0.01])
    raw = network(3, 16, 1)
    with torch.no_grad():  # the same network on standardized inputs, its answers around 5000
        raw[0].bias -= raw[0].weight @ (mean / std)
        raw[0].weight /= std
        raw[2].weight *= 300
        raw[2].bias.mul_(300).add_(5000)
    save_file(raw.state_dict(), tmp_path / "teacher.safetensors")
    (tmp_path / "teacher.yaml").write_text("layers: [3, 16, 1]\n")
    features = [{"name": n, "mean": float(m), "std": float(s)} for n, m, s in zip("abc", mean, std, strict=True)]
    (tmp_path / "features.yaml").write_text(yaml.safe_dump({"features": features}))
    tree = {
        "study": {"name": "raw", "trials": 1},
        "teacher": {"path": "teacher.safetensors", "architecture": "teacher.yaml"},
        "features": "features.yaml",
        "budget": {"steps": 1500, "batch": 50, "pool": 5000, "bank": 20_000},
        "preset": "random",
        "search": {},
    }
    (tmp_path / "raw.yaml").write_text(yaml.safe_dump(tree))
    ended = dfkd("study", "raw.yaml", *store.options)
    assert ended.status == 0, ended.err
    assert "tier T2" in ended.out
    assert dfkd("export", "raw", "--out", "student.pt2", *store.options[2:]).status == 0
    run = find_run(store.tracking, "raw")
    recorded = Path(run.info.artifact_uri.removeprefix("file://")) / "student" / "result.json"
    result = json.loads(recorded.read_text())
    assert result["features"] == ["a", "b", "c"]
    x = mean + std * torch.randn(50_000, 3, generator=torch.Generator().manual_seed(1))
    student = torch.export.load(tmp_path / "student.pt2").module()
    with torch.no_grad():
        answers, gap = raw(x), student(x) - raw(x)
    rmse = float(gap.square().mean().sqrt())
    assert result["rmse"] == pytest.approx(rmse, rel=0.1)
    assert result["nrmse"] == pytest.approx(rmse / float(answers.std()), rel=0.1)
    assert rmse < 0.2 * float(answers.std())


def test_several_outputs(dfkd, tmp_path, store):
    teacher = network(3, 8, 2)
    with torch.no_grad():
        teacher[2].weight[1] *= 100
    save_pt2(teacher, tmp_path / "teacher.pt2", torch.export.Dim("batch", min=1))
    tree = {
        "study": {"name": "two", "trials": 2, "objective": "nrmse"},
        "teacher": "teacher.pt2",
        "budget": {"steps": 300, "batch": 20, "pool": 500, "bank": 500},
        "preset": "paper",
        "search": {"optimizer.lr": [0.003, 0.01]},
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(tree))
    assert "3 features, 2 outputs" in dfkd("check", "two.yaml").out
    ended = dfkd("study", "two.yaml", *store.options)
    assert ended.status == 0, ended.err
    for run, trial in zip(store.runs("two", "trial"), store.trials("two"), strict=True):
        metrics = run.data.metrics
        assert metrics["nrmse"] == pytest.approx(trial.value)
        by_output = np.array([metrics["output/0/rmse"], metrics["output/1/rmse"]])
        assert by_output[1] > 10 * by_output[0]
        assert metrics["rmse"] == pytest.approx(np.sqrt((by_output**2).mean()), rel=1e-4)
    assert dfkd("export", "two", "--out", "student.pt2", *store.options[2:]).status == 0
    assert torch.export.load(tmp_path / "student.pt2").module()(torch.zeros(7, 3)).shape == (7, 2)


def test_ui_serves_the_runs(mlflow_server):
    with urllib.request.urlopen(mlflow_server.url, timeout=30) as page:
        assert b"MLflow" in page.read()
    body = json.dumps({"max_results": 100}).encode()
    address = f"{mlflow_server.url}/api/2.0/mlflow/experiments/search"
    with urllib.request.urlopen(
        urllib.request.Request(address, body, {"Content-Type": "application/json"}), timeout=30
    ) as answer:
        assert "finished" in [experiment["name"] for experiment in json.load(answer)["experiments"]]
    main = psutil.Process(mlflow_server.process.pid)
    sockets = [each for process in (main, *main.children(recursive=True)) for each in process.net_connections()]
    assert {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_a_busy_port_is_told(dfkd, store, finished):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert_refused(dfkd("ui", "--port", port, *store.options[2:]), f"port {port}", "--port")


def test_a_server_has_its_own_ui(dfkd):
    ended = dfkd("ui", "--tracking-uri", "http://ann:s3cret@tracking.example:5000")
    assert ended.status == 0
    assert ended.out == "these runs are at http://tracking.example:5000\n"


GOOD = {"study": {"trials": 1}, "budget": {"steps": 40, "batch": 20, "pool": 500, "bank": 200}}


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
        ("fixed.pt2", "any number of rows"),
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
    assert_refused(dfkd("study", "spec.yaml", "--storage", url, *store.options[2:]), below, "cannot be made")
    assert_refused(dfkd("study", "spec.yaml", "--tracking-uri", url, *store.options[:2]), below, "cannot be made")
    good = bad_teachers / "good.pt2"
    assert_refused(dfkd("distill", "--teacher", good, "--out", f"{below}/made"), below, "cannot be made")
    exported = dfkd("export", "finished", "--out", f"{below}/student.pt2", *store.options[2:])
    assert_refused(exported, below, "cannot be written")
    assert files_of(tmp_path) == before
    assert "nowhere" not in [experiment for experiment in _experiments(store)]


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
    from dfkd_tune.quickstart import quickstart

    places = {"{spec}": [str(quickstart())], "{teacher}": [str(bad_teachers / "good.pt2")]}
    places |= {"{storage}": store.options[:2], "{uri}": store.options[2:]}
    assert_refused(dfkd(*(word for part in argv for word in places.get(part, [part]))), *named)
    assert files_of(tmp_path) == set()


def test_a_run_of_nobodys_study_cannot_be_replayed(dfkd, tmp_path, store, bad_teachers, small_teacher):
    import optuna

    from dfkd_tune import Distillation, load_teacher

    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    objective = Distillation(
        teacher, steps=40, batch=20, search={}, tracking_uri=store.tracking, experiment="replay-plugin"
    )
    optuna.create_study().optimize(objective, n_trials=1)
    (run,) = store.runs("replay-plugin")
    argv = ["distill", "--teacher", bad_teachers / "good.pt2", "--run", run.info.run_id, "--out", "x"]
    assert_refused(dfkd(*argv, *store.options[2:]), run.info.run_id, "no trial of a study")
    assert files_of(tmp_path) == set()


FLAKY = """
import torch

calls = []


def teacher():
    def answer(x):
        calls.append(len(x))
        if len(calls) > 100:  # while trials are under way
            raise LookupError("the license server is gone")
        return torch.sin(x).sum(1)

    return answer
"""


def test_a_crash_is_told_apart_and_can_be_resumed(tmp_path, store, start):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    spec = GOOD | {"study": {"name": "flaky", "trials": 3}, "teacher": "flaky:teacher", "features": "features.yaml"}
    (tmp_path / "flaky.yaml").write_text(yaml.safe_dump(spec | {"preset": "paper", "search": {"optimizer.lr": [0.01]}}))
    process = start(command_line, tmp_path, "study", "flaky.yaml", *store.options)
    assert process.wait() == 3
    told = re.search(
        r"^dfkd-tune: a bug: .*LookupError: the license server is gone; .* is in (.*)$", process.said, re.M
    )
    written = Path(told[1])
    assert "Traceback" in written.read_text()
    written.unlink()
    assert "Traceback" not in process.said
    trials = store.trials("flaky")
    assert len(trials) == 3
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert not [run for run in store.runs("flaky") if run.info.status == "RUNNING"]
