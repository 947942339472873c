"""The command line end to end on tiny studies: what each command leaves, and what it says of bad input."""

import json
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
import yaml
from asked import GOOD, assert_refused, files_of
from optuna.trial import TrialState
from processes import command_line

pytestmark = pytest.mark.usefixtures("undrawn")

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
from dfkd_tune.cli.main import main
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


def test_the_script_is_installed(tmp_path):
    script = Path(sys.executable).parent / "dfkd-tune"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert re.search(r"\d+\.\d+", ended.stdout)
    ended = subprocess.run([script, "show", "nothing"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("dfkd-tune: study 'nothing': cannot be looked up: there is no ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("no-such-command",),
        ("study", "--no-such-option"),
        ("study", "--n-trials", "0"),
        ("study", "--n-trials", "many"),
        ("study", "--seed", "-1"),
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


def test_a_study_ends_with_its_table_and_the_next_commands(dfkd, tmp_path, store, tree):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("ignored", trials=9)))
    argv = ["study", "study.yaml", "--name", "named", "--n-trials", "2", "--seed", "7", *store.options]
    ended = dfkd(*argv)
    assert ended.status == 0, ended.err
    assert re.search(r"trial +robust +rmse +stress +parameters +recipe", ended.out)
    assert "Promoted: trial" in ended.out
    assert "RMSE of the untuned preset at the same budget" in ended.out
    assert f"dfkd-tune ui --tracking-uri {store.tracking}" in ended.out
    assert f"dfkd-tune register named --model named --tracking-uri {store.tracking}" in ended.out
    assert len(store.trials("named")) == 2
    assert files_of(tmp_path) == {"study.yaml"}

    again = dfkd(*argv)
    assert again.status == 0
    assert re.search(r"Promoted: .*", again.out)[0] == re.search(r"Promoted: .*", ended.out)[0]
    assert_refused(dfkd(*argv, "--seed", "8"), "study 'named'", "seed: 7 -> 8", "--name")


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
    assert kept == {"mlflow.db", "optuna.db", "artifacts", "optuna-artifacts", "spool", "answers"}
    assert "dfkd-tune register lone --model lone" in ended.out

    shown = dfkd("show", "lone")
    assert shown.status == 0
    assert "1 complete" in shown.out
    registered = dfkd("register", "lone", "--model", "lone-model")
    assert registered.status == 0, registered.err
    assert registered.out.startswith("registered models:/lone-model@champion, version 1: trial 0")
    assert "on the selection bank; the reloaded model" in registered.out.splitlines()[0]
    assert "mlflow models serve -m 'models:/lone-model@champion'" in registered.out
    again = dfkd("register", "lone", "--model", "lone-model", "--alias", "candidate")
    assert again.out.startswith("registered models:/lone-model@candidate, version 1: trial 0"), again.err
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "teacher", "mlruns"}


def test_show(dfkd, store, finished):
    shown = dfkd("show", "finished", *store.options[:2])
    assert shown.status == 0
    assert "6 complete" in shown.out
    assert "untuned preset: robust " in shown.out
    assert f"promoted: trial {finished.promoted.trial}, the student of run {finished.promoted.run}" in shown.out
    rows = re.findall(r"^ +(\d+) +([\d.e+-]+) +[\d.e+-]+ ", shown.out, re.MULTILINE)
    assert len(rows) == 6
    trials = sorted(store.trials("finished"), key=lambda trial: trial.value)
    assert [int(number) for number, _ in rows] == [trial.number for trial in trials]
    assert [float(value) for _, value in rows] == pytest.approx([t.value for t in trials], rel=1e-3)
    assert int(rows[0][0]) == finished.best[1]

    plain = json.loads(dfkd("show", "finished", "--json", *store.options[:2]).out)
    assert plain["study"] == "finished"
    trials = store.trials("finished")
    assert [t["value"] for t in plain["trials"]] == [t.value for t in trials]
    assert [t["params"] for t in plain["trials"]] == [t.params for t in trials]
    assert {t["state"] for t in plain["trials"]} == {"COMPLETE"}


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


def test_a_teacher_that_fails_is_told_and_the_study_can_be_resumed(tmp_path, store, start):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    spec = GOOD | {
        "study": {"name": "flaky", "trials": 3, "reruns": 0},
        "teacher": "flaky:teacher",
        "features": "features.yaml",
    }
    (tmp_path / "flaky.yaml").write_text(yaml.safe_dump(spec | {"preset": "paper", "search": {"optimizer.lr": [0.01]}}))
    process = start(command_line, tmp_path, "study", "flaky.yaml", *store.options)
    assert process.wait() == 1
    assert re.search(r"^dfkd-tune: flaky:teacher: .*LookupError: the license server is gone", process.said, re.M)
    assert "Traceback" not in process.said
    trials = store.trials("flaky")
    assert len(trials) == 3
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    assert not [run for run in store.runs("flaky") if run.info.status == "RUNNING"]
