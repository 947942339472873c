"""Documentation is executed: every file, command and snippet of docs/ in the order of the page."""

import csv
import random
import re
import shlex
import subprocess
import sys

import pytest
import torch
import yaml
from pages import ROOT, Page, follow, run_snippet
from processes import free_port, inferring, serving

from benchmarks import figures
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.search.study_file import read_spec

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_tutorial(reader, dfkd, monkeypatch):
    page = Page("getting-started/own-teacher.md")
    export, serve, *ask, dockerfile = follow(page, dfkd, reader)
    made = {
        "pump-report.html",
        "student.pt2",
        "student.onnx",
        "student.safetensors",
        "student.yaml",
        "student-bf16.onnx",
    }
    assert made <= {path.name for path in reader.iterdir()}
    assert "student-bf16.onnx.certificate.json" in {path.name for path in reader.iterdir()}
    answers = run_snippet(page.blocks("python")[1], "own-teacher.md")["student"]
    expected = answers(torch.tensor([[1050.0, 1.0, 0.02]])).item()

    assert export[0] == "export"
    monkeypatch.setenv(*export[1].split("=", 1))
    port = free_port()
    assert serve[:3] == ["mlflow", "models", "serve"] and serve[-1] == "5001"
    command = [sys.executable, "-m", *serve[:-1], str(port), "--workers", "1"]
    with serving(command, f"http://127.0.0.1:{port}/ping", reader):
        told = [
            subprocess.run([w.replace("5001", str(port)) for w in words], capture_output=True).stdout for words in ask
        ]
    assert len(told) == 2
    for answer in told:
        assert float(yaml.safe_load(answer)["predictions"][0]["0"]) == pytest.approx(expected, rel=1e-5)

    from click.testing import CliRunner
    from mlflow.models.cli import commands

    assert dockerfile[:2] == ["mlflow", "models"]
    ended = CliRunner().invoke(commands, dockerfile[2:])
    assert ended.exit_code == 0, ended.output
    assert (reader / "container" / "Dockerfile").exists()


def test_models_are_found_registered_and_evaluated(reader, dfkd):
    """After the tutorial, whose study and model these are."""
    page = Page("guides/mlflow-models.md")
    find, evaluate = page.blocks("python")
    models = run_snippet(find, "mlflow-models.md")["models"]
    assert models and {model.status for model in models} == {"READY"}
    assert follow(page, dfkd, reader) == []
    metrics = run_snippet(evaluate, "mlflow-models.md")["result"].metrics
    assert metrics["root_mean_squared_error"] > 0 and metrics["fidelity/rmse"] > 0


def test_the_way_to_an_answer_is_counted():
    from benchmarks.served import TYPED

    keys = sum(len(line.replace("ADDRESS", "")) + 1 for line in TYPED)
    told = figures.load()["served"]["values"]
    assert (told["lines"], told["keystrokes"]) == (len(TYPED), keys)
    assert {words[0] for words in map(str.split, TYPED)} >= {"git", "make", "dfkd-tune", "mlflow", "curl"}


def test_features_files_are_read(tmp_path, dfkd):
    page = Page("guides/features.md")
    tiers = {name: read_features(tmp_path / name).tier for name in page.write_files(tmp_path)}
    assert tiers == {
        "features.yaml": "T3",
        "related.yaml": "T4",
        "grouped.yaml": "T4",
        "shares.yaml": "T2",
        "pixels.yaml": "T2",
        "window.yaml": "T4",
        "bounds.yaml": "T2",
    }
    dice = random.Random(0)
    with (tmp_path / "data.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["a", "b", "y"])
        table.writerows([dice.gauss(0, 1), dice.gauss(5, 2), 0.0] for _ in range(200))
    pytest.importorskip("opendp")
    assert follow(page, dfkd, tmp_path) == []
    for name in ("described.yaml", "private.yaml"):
        told = read_features(tmp_path / name)
        assert (told.names, told.tier) == (["a", "b"], "T4")


def test_teachers_of_other_shapes(reader, dfkd):
    page = Page("guides/shapes.md")
    make, ask, dicts = page.blocks("python")
    run_snippet(make, "shapes.md")
    assert page.write_files(reader) == ["pump_features.yaml", "pump_study.yaml"]
    assert follow(page, dfkd, reader) == []
    answer = run_snippet(ask, "shapes.md")["answer"]
    assert answer["quality"].shape == (5, 2) and answer["power"].shape == (5,)
    answer = run_snippet(dicts, "shapes.md")["answer"]
    assert answer["fine"].shape == (5, 1) and answer["coarse"].shape == (5,)
    table = dfkd("check", "pump_study.yaml", "--no-estimate", cwd=reader).out
    (told,) = page.blocks("text")
    for line in told.splitlines():
        assert line.split() in [shown.split() for shown in table.splitlines()], line


def test_windows_and_images(reader, dfkd):
    page = Page("guides/windows.md")
    make, image = page.blocks("python")
    run_snippet(make, "windows.md")
    assert page.write_files(reader) == ["plant_features.yaml", "plant_study.yaml", "image_features.yaml"]
    dice = random.Random(0)
    with (reader / "plant.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["line", "hour", "temp", "flow", "quality"])
        for line in ("north", "south"):
            temp = 0.0
            for hour in range(100):
                temp = 0.9 * temp + dice.gauss(0, 1)
                table.writerow([line, hour, temp, dice.gauss(5, 2), 0.0])
    assert follow(page, dfkd, reader) == []
    told = read_features(reader / "plant_described.yaml")
    assert (told.names[:2], len(told), told.tier) == (["temp[0]", "flow[0]"], 48, "T4")
    assert len(read_features(reader / "image_features.yaml")) == 192
    assert run_snippet(image, "windows.md")["student"](torch.zeros(5, 3, 8, 8)).shape == (5, 1)
    assert torch.export.load(reader / "plant_student.pt2").module()(torch.zeros(5, 24, 3)).shape == (5, 1)
    table = dfkd("check", "plant_study.yaml", "--no-estimate", cwd=reader).out
    (text,) = page.blocks("text")
    for line in text.splitlines():
        assert line.split() in [shown.split() for shown in table.splitlines()], line


def test_strategies(reader, dfkd):
    page = Page("explanation/method.md")
    assert page.write_files(reader) == ["recipe.yaml"]
    assert follow(page, dfkd, reader) == []
    assert (reader / "student" / "student.pt2").exists()


def test_migrating(reader, dfkd, store):
    page = Page("coming-from/own-script.md")
    assert page.write_files(reader) == ["moved.yaml"]
    assert read_spec(reader / "moved.yaml").search
    own, *rest = page.blocks("python")
    made = run_snippet(own, "own-script.md")["study"]
    assert len(made.trials) == 2
    assert follow(page, dfkd, reader) == []
    for text in rest:
        assert len(run_snippet(text, "own-script.md")["study"].trials) == 2


def test_search_space(reader, dfkd):
    page = Page("guides/search-space.md")
    assert page.write_files(reader) == ["searched.yaml"]
    spec = read_spec(reader / "searched.yaml")
    assert spec.preset in PRESETS and "bound.threshold" in spec.search
    assert follow(page, dfkd, reader) == []


def test_library(dfkd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    page = Page("guides/library.md")
    one, study, again, described, _ = page.blocks("python")
    names = run_snippet(one + study + again + described, "library.md")
    assert names["described"].rank_correlation is not None
    assert names["student"](torch.zeros(2, 2)).shape == (2, 1)
    assert names["again"].rmse == names["result"].rmse and len(names["result"].trials) == 4
    assert {"pump.html", "pump.onnx"} <= {path.name for path in tmp_path.iterdir()}
    assert follow(page, dfkd, tmp_path) == []


def test_the_readmes_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(block.splitlines()) <= 10
    assert run_snippet(block, "README.md")["student"](torch.zeros(2, 2)).shape == (2, 1)


def test_the_librarys_objective(reader):
    *_, objective = Page("guides/library.md").blocks("python")
    assert len(run_snippet(objective, "library.md")["study"].trials) == 2


def test_black_boxes(tmp_path, monkeypatch):
    pipeline, trees, endpoints = Page("guides/black-box.md").blocks("python")
    monkeypatch.chdir(tmp_path)
    assert run_snippet(pipeline, "black-box.md")["student"].rmse > 0
    assert len(run_snippet(trees, "black-box.md")["students"]) == 3
    with inferring(tmp_path) as address:
        here = endpoints.replace("http://127.0.0.1:5001", address).replace("models/pump", "models/m")
        served = run_snippet(here, "black-box.md")
    assert [served[name](torch.zeros(5, 2)).shape for name in ("scored", "inferred")] == [(5, 2), (5, 2)]


def test_scaling_out(reader, dfkd):
    """As on one machine, whose two terminals share a folder."""
    lines = [
        line.split("#")[0]
        for line in Page("guides/many-workers.md").text.splitlines()
        if line.startswith("    dfkd-tune")
    ]
    first, second = (shlex.split(line)[1:] for line in lines if "postgresql" in line and "--cluster" not in line)
    assert (first[0], second[0]) == ("study", "worker")
    for words in (first, second):
        for option, here in (
            ("--storage", f"sqlite:///{reader}/scaled.db"),
            ("--tracking-uri", f"sqlite:///{reader}/mlruns/mlflow.db"),
        ):
            words[words.index(option) + 1] = here
    assert dfkd(*first, cwd=reader).status == 0
    ended = dfkd(*second, cwd=reader)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "pump: all 2 trials are done")
