"""Documentation is executed: every file, command and snippet of docs/ in the order of the page, and every script of examples/."""

import csv
import random
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import torch
import yaml
from click import ClickException, MissingParameter
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from processes import free_port, inferring, serving

from benchmarks import figures
from dfkd_tune.cli.main import cli
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.features_file import read_features
from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS
from dfkd_tune.recipes.initializers import INITIALIZERS
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS
from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.recipes.mixing import ALPHAS
from dfkd_tune.recipes.optimizers import OPTIMIZERS
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.refiners import REFINERS
from dfkd_tune.search.study_file import read_spec
from dfkd_tune.students.kinds import STUDENTS

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parent.parent
SMALL = {"trials": 2, "steps": 30, "n_trials": 2, "reruns": 0}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page of documentation, its studies made small."""

    name: str

    @property
    def text(self) -> str:
        return (ROOT / "docs" / self.name).read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        return [text for name, text in BLOCK.findall(self.text) if name == kind]

    def commands(self) -> list[list[str]]:
        """Of all ``sh`` blocks, in order, as words."""
        lines = "".join(self.blocks("sh")).replace("\\\n", " ").splitlines()
        return [shlex.split(line) for line in lines if line]

    def write_files(self, folder: Path) -> list[str]:
        """The YAML blocks under the names that they begin with."""
        names = []
        for text in self.blocks("yaml"):
            name = re.match(r"# (\S+\.yaml)\n", text)[1]
            if "study:" in text:
                tree = yaml.safe_load(text)
                tree["study"] |= {"trials": SMALL["trials"], "reruns": 0, "leaders": 1}
                text = yaml.safe_dump(
                    tree | {"budget": tree["budget"] | {"steps": SMALL["steps"], "pool": 500, "bank": 200}}
                )
            (folder / name).write_text(small(text))
            names.append(name)
        return names


def small(text: str) -> str:
    """The same snippet with fewer steps and trials; the steps of a window have two digits."""
    text = re.sub(r"\b(n_trials|steps(?=\W+\d{3}))(=|\"?: )\d{2,}", lambda m: f"{m[1]}{m[2]}{SMALL[m[1]]}", text)
    text = text.replace('{"steps": 30}', '{"steps": 30, "pool": 500, "bank": 200}')
    return re.sub(r"steps=30(?=\s*\))", 'steps=30, budget={"pool": 500, "bank": 200}', text)


def run_snippet(text: str, place: str) -> dict:
    names: dict = {}
    exec(compile(small(text), place, "exec"), names)
    return names


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, store, finished) -> Path:
    """The directory in which a reader of the tutorial sits: its files, and a store."""
    folder = tmp_path_factory.mktemp("workshop")
    store.hand_out(folder)
    tutorial = Page("getting-started/own-teacher.md")
    tutorial.write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_snippet(tutorial.blocks("python")[0], "own-teacher.md")
    return folder


@pytest.fixture
def reader(workshop, dfkd, monkeypatch) -> Path:
    """A reader at work there, whose MLflow is found by its default."""
    monkeypatch.chdir(workshop)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with _use_tracking_uri(f"sqlite:///{workshop}/mlruns/mlflow.db"):
        yield workshop


def follow(page: Page, dfkd, folder: Path) -> list[list[str]]:
    """Run the commands of a page that are ours; returns the others."""
    others = []
    for words in page.commands():
        if words[0] != "dfkd-tune":
            others.append(words)
            continue
        ended = dfkd(*words[1:], cwd=folder)
        assert ended.status == 0, (words, ended.err)
    return others


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
        "shares.yaml": "T2",
        "pixels.yaml": "T2",
        "window.yaml": "T4",
    }
    dice = random.Random(0)
    with (tmp_path / "data.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["a", "b", "y"])
        table.writerows([dice.gauss(0, 1), dice.gauss(5, 2), 0.0] for _ in range(200))
    assert follow(page, dfkd, tmp_path) == []
    told = read_features(tmp_path / "told.yaml")
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
    told = read_features(reader / "plant_told.yaml")
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


@pytest.mark.parametrize(
    "registry",
    [GENERATORS, GAP_BOUNDS, INPUT_BOUNDS, ALPHAS, LOSSES, INITIALIZERS, OPTIMIZERS, REFINERS, STUDENTS, PRESETS],
)
def test_every_strategy_is_explained(registry):
    text = Page("explanation/method.md").text
    for name in registry:
        assert f"`{name}`" in text, name


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
    one, study, again, _ = page.blocks("python")
    names = run_snippet(one + study + again, "library.md")
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


def test_guarantees_name_what_there_is(reader, dfkd):
    assert Page("guides/guarantees.md").commands() == [
        ["dfkd-tune", "register", "pump", "--model", "pump"]
    ]  # the tutorial's


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_command_that_is_told_can_be_said():
    """Click refuses options that do not exist and values that they do not take; what a sentence leaves out may be missing."""
    told = 0
    for page in PAGES:
        text = re.sub(r"\n(?=--)", " ", page.read_text(encoding="utf-8"))
        for name, rest in re.findall(rf"dfkd-tune ({'|'.join(cli.commands)}) ([^`#|;&\n'\")]*)", text):
            words = shlex.split(re.sub(r"\bN\b", "20", rest))
            try:
                cli.commands[name].make_context(name, words)
            except MissingParameter:
                assert not words or words[0].startswith("--"), (page.name, name, words)
            except ClickException as error:
                pytest.fail(f"{page.name}: dfkd-tune {name} {rest}: {error.format_message()}")
            told += 1
    assert told > 30


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


def test_what_is_written_by_hand_is_there():
    """Modules in the first column of the table."""
    rows = [
        line.split("|")[1]
        for line in Page("explanation/written-by-hand.md").text.splitlines()
        if line.startswith("| ") and "(" in line
    ]
    named = [name for row in rows for name in re.findall(r"`([\w/]+)`", row)]
    assert len(named) > 15
    for name in named:
        assert (ROOT / "dfkd_tune" / f"{name}.py").exists(), name


def test_pages_lead_to_pages():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)


@pytest.fixture
def example(reader, monkeypatch):
    """Runs a script of examples/ made small, as a user does; returns its names."""

    def run(name: str, *argv: str) -> dict:
        text = small((ROOT / "examples" / name).read_text())
        budget = "budget: {steps: 30, pool: 500, bank: 200}"
        text = text.replace("trials: 20, seed: 0}", "trials: 2, reruns: 0}").replace("budget: {steps: 30}", budget)
        script = reader / name
        script.write_text(text)
        monkeypatch.setattr(sys, "argv", [name, *argv])
        return runpy.run_path(str(script))

    if not (reader / "studies").exists():
        (reader / "studies").symlink_to(ROOT / "studies")
    return run


def test_example_own_teacher(example, tmp_path_factory, store, monkeypatch):
    folder = tmp_path_factory.mktemp("own")
    store.hand_out(folder)
    monkeypatch.chdir(folder)
    names = example("own_teacher.py")
    assert names["made"].uri == "models:/own-teacher@champion"
    assert names["made"].trial in (None, 0, 1)
    assert names["made"].worst_gap > 0


def test_example_own_study(example):
    study = example("own_study.py")["study"]
    assert len(study.trials) == 2
    version = mlflow.MlflowClient().get_model_version_by_alias("own-study", "champion")
    assert version.tags["dfkd.trial"] == str(study.best_trial.number)


def test_example_read_results(example, reader, store, finished, monkeypatch, tmp_path):
    store.lend_runs(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = example("read_results.py", "finished")
    assert list(names["trials"]["metrics.rmse"]) == sorted(names["trials"]["metrics.rmse"])
    assert (tmp_path / "best" / "student" / "student.safetensors").exists()


def test_example_load_student(finished, store, dfkd, tmp_path):
    assert dfkd("export", "finished", "--out", "student.pt2", *store.options[2:]).status == 0
    script = ROOT / "examples" / "load_student.py"
    ended = subprocess.run([sys.executable, "-I", script, "student.pt2"], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("['x0', 'x1', 'x2']")


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_example_") for name in globals() if name.startswith("test_example_")}
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == tested
