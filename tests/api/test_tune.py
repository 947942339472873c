"""A study in one call: the same as in a terminal, gone on with from either side, with all that a person asks of its result."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

import dfkd_tune as dt

pytestmark = pytest.mark.usefixtures("undrawn")

FEATURES = {"load": {"mean": 3, "std": 2}, "flow": None, "gear": {"levels": [1, 2, 3]}}
SMALL = {"features": FEATURES, "budget": {"steps": 60, "batch": 20, "pool": 500, "bank": 300}, "progress": False}


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture
def here(home, monkeypatch):
    """A person at work in one directory, with the default stores."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture(scope="module")
def result(home, undrawn):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        search = {"generator.kind": ["gaussian", "uniform"], "student.width": {"low": 2, "high": 6}}
        kept = {"study": {"reruns": 1, "leaders": 1}, "search": search, "seed": 0, "workers": 1}
        return dt.tune(network(), name="pump", n_trials=6, max_parameters=60, **kept, **SMALL)


def test_a_result_has_what_a_person_asks_for(result):
    trials = result.trials
    assert trials["number"].tolist() == [*range(6)] and set(trials["generator.kind"]) == {"gaussian", "uniform"}
    best = trials.loc[trials["objective"].idxmin()]
    assert result.best.number == best["number"] and result.best.values[0] == best["objective"]
    assert sum(p.numel() for p in result.student.parameters()) <= 60
    assert result.rmse == pytest.approx(result.certificate.report.rmse, rel=0.5)
    x = torch.tensor([[2.5, 0.1, 1.0], [3.0, -1.0, 3.0]])
    with torch.no_grad():
        assert float((result.student(x) - network()(x)).abs().max()) <= result.certificate.worst.gap
    assert result.reason is None


def test_a_result_is_drawn_into_axes(result):
    from matplotlib.figure import Figure

    left, middle, right = Figure().subplots(1, 3)
    assert result.plot_parity(ax=left) is left and len(left.collections) == 2
    assert result.plot_history(ax=middle) is middle and middle.get_yscale() == "log"
    assert result.plot_generators(ax=right) is right
    assert {text.get_text().split()[0] for text in right.get_yticklabels()} == {"gaussian", "uniform"}


def test_a_notebook_shows_a_result_and_a_certificate(result):
    page = result._repr_html_()
    assert f"{result.certificate.report.rmse:.4g}" in page and "dfkd-tune show pump" in page and "<script" not in page
    assert result.certificate.statement["holds"][0].split(",")[0] in result.certificate._repr_html_()
    assert str(result.certificate).splitlines()[0] == result.certificate.statement["holds"][0]
    assert "Not promised:" in str(result.certificate)


def test_a_result_is_registered_reported_and_exported(result, here):
    made = result.register()
    assert made.uri == "models:/pump@champion"
    version = MlflowClient(result.tracking_uri).get_model_version_by_alias("pump", "champion")
    assert float(version.tags["dfkd.rmse"]) == pytest.approx(result.rmse)
    assert "<html" in result.report().read_text()[:300] and (here / "pump-report.html").exists()
    assert result.export("pump.pt2") == pytest.approx(result.export("pump.onnx"), rel=1e-3)
    assert torch.export.load(here / "pump.pt2").module()(torch.tensor([[2.5, 0.1, 1.0]])).shape == (1, 2)


def test_a_terminal_goes_on_from_it(result, here, dfkd):
    shown = dfkd("show", "pump", cwd=here)
    assert shown.status == 0 and "6 complete" in shown.out and "Sequential-" in shown.out
    assert dfkd("export", "pump", "--out", "y.pt2", cwd=here).status == 0
    again = dt.load_result("pump")
    assert again.rmse == result.rmse and len(again.trials) == 6
    assert again.plot_parity() is not None


def test_a_study_of_the_terminal_is_loaded(here, dfkd):
    from teacher_files import save_pt2

    save_pt2(network(), here / "own.pt2", dtype=torch.float32)
    study = "study: {name: typed, trials: 2, reruns: 0}\nteacher: own.pt2\nbudget: {steps: 40, batch: 20, pool: 500, bank: 200}\n"
    (here / "typed.yaml").write_text(study)
    assert dfkd("study", "typed.yaml", "--quiet", "--workers", "1", cwd=here).status == 0
    found = dt.load_result("typed")
    assert len(found.trials) == 2 and found.certificate.report.rows == 200


def test_the_same_call_resumes_and_another_teacher_is_refused(here):
    given = {"name": "grows", "study": {"reruns": 0}, "workers": 1} | SMALL
    assert len(dt.tune(network(), n_trials=1, **given).trials) == 1
    assert len(dt.tune(network(), n_trials=2, **given).trials) == 2  # the same weights are the same teacher
    with pytest.raises(dt.DfkdError, match="'grows': exists with another teacher"):
        dt.tune(network(seed=1), n_trials=3, **given)
    assert len(list((here / "mlruns" / "teachers").glob("Sequential-*.pt2"))) >= 2


def test_features_that_changed_in_memory_are_told_by_feature_and_key(here):
    given = {"name": "declared", "study": {"reruns": 0}, "workers": 1, "n_trials": 1} | SMALL
    dt.tune(network(), **given)
    changed = FEATURES | {"load": {"mean": 4, "std": 2}, "flow": {"range": [0, 1]}}
    with pytest.raises(dt.DfkdError) as refusal:
        dt.tune(network(), **(given | {"features": changed}))
    told = str(refusal.value)
    assert "features['load'].mean: 3 -> 4" in told and "features['flow'].range: absent -> [0, 1]" in told
    assert "gear" not in told and ".yaml" not in told and "teacher" not in told  # its file is the same


def test_an_edited_features_file_is_told_by_feature_and_key(here):
    given = SMALL | {"name": "edited", "study": {"reruns": 0}, "workers": 1, "n_trials": 1, "features": "edited.yaml"}
    file = here / "edited.yaml"
    file.write_text("features: [{name: load, mean: 3, std: 2}, flow, {name: gear, levels: [1, 2, 3]}]\n")
    dt.tune(network(), **given)
    file.write_text("features: [{name: load, mean: 4, std: 2}, flow, {name: gear, quantiles: {0.1: 1, 0.9: 3}}]\n")
    with pytest.raises(dt.DfkdError) as refusal:
        dt.tune(network(), **given)
    told = str(refusal.value)
    assert "exists with another features['load'].mean: 3 -> 4, features['gear'].levels: [1, 2, 3] -> absent" in told
    assert "features['gear'].quantiles: absent -> " in told and "flow" not in told and "teacher" not in told


def test_sections_are_as_good_as_arguments(here):
    small = {"steps": 40, "batch": 20, "pool": 500, "bank": 200}
    study = {"name": "sections", "trials": 1, "seed": 3, "reruns": 0}
    given = {"features": FEATURES, "study": study, "student": {"max_parameters": 40}, "budget": small}
    found = dt.tune(network(), workers=1, progress=False, fixed={"student": {"activation": "relu"}}, **given)
    assert found.name == "sections" and len(found.trials) == 1 and found.best.user_attrs["parameters"] <= 40
    assert (found.study.user_attrs["identity"]["seed"], found.study.user_attrs["spec"]["budget"]["steps"]) == (3, 40)
    assert any(isinstance(each, nn.ReLU) for each in found.student.modules())


def test_a_teacher_that_no_file_holds_stays_in_this_process(here):
    given = SMALL | {"name": "lambda", "study": {"reruns": 0}, "features": ["a", "b"]}

    def teacher(size):
        return lambda rows: size * np.sin(rows[:, 0]) + rows[:, 1]

    found = dt.tune(teacher(1.0), n_trials=1, **given)
    assert "a lambda" in found.reason and found.certificate.report.rmse > 0
    assert found.plot_parity() is not None and "in this process alone" in found._repr_html_()
    assert len(dt.tune(teacher(1.0), n_trials=2, **given).trials) == 2
    with pytest.raises(dt.DfkdError, match="exists with another teacher"):
        dt.tune(teacher(2.0), n_trials=3, **given)
    with pytest.raises(dt.DfkdError, match="no other process can query it; give workers=1"):
        dt.tune(teacher(1.0), n_trials=3, workers=2, **given)
    with pytest.raises(dt.DfkdError, match="was given in Python, and no file holds it"):
        dt.load_result("lambda").plot_parity()


SCRIPT = """
import torch
from torch import nn
import dfkd_tune as dt

print("begun", flush=True)
torch.manual_seed(0)
teacher = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
found = dt.tune(teacher, name="script", n_trials=2, workers=2, study={"reruns": 0}, budget={"steps": 40, "batch": 20, "pool": 500, "bank": 200})
print(len(found.trials))
"""


def test_a_script_without_a_guard_has_workers(here):
    (here / "script.py").write_text(SCRIPT)
    ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=here, timeout=300)
    assert ended.stdout.split() == ["begun", "2"], ended.stderr


def interrupt_once_begun(file: Path) -> None:
    """Send SIGINT to this process once a study of an SQLite file has a running trial, or after a minute."""
    until = time.monotonic() + 60
    running = "SELECT count(*) FROM trials WHERE state = 'RUNNING'"
    while time.monotonic() < until:
        with (
            contextlib.suppress(sqlite3.OperationalError),  # there is no file yet, or no table
            contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection,
        ):
            if connection.execute(running).fetchone()[0]:
                break
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_study_goes_on(here):
    given = SMALL | {"name": "stopped", "study": {"reruns": 0, "population": 1}, "n_trials": 100, "workers": 1}
    given["budget"] = SMALL["budget"] | {"steps": 2000}
    threading.Thread(target=interrupt_once_begun, args=(here / "mlruns" / "optuna.db",)).start()
    with pytest.raises(KeyboardInterrupt, match="'stopped' was stopped; the same call goes on"):
        dt.tune(network(), **given)
    done = dt.load_result("stopped").trials
    given["budget"], given["n_trials"] = given["budget"], max(1, len(done))
    assert len(dt.tune(network(), **given).trials) >= len(done)


REFUSED = {
    "a name": ({"name": "a b"}, "tune: name: must be letters"),
    "a search": ({"search": [1]}, "tune: search: must be a mapping of leaves, got [1]"),
    "a leaf": ({"search": {"student.widht": [1]}}, "student.widht"),
    "no trial": ({"n_trials": 0}, "tune: n_trials: "),
    "a store": ({"storage": "sqlite://"}, "sqlite://: is in memory"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_told_before_anything_is_kept(tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dt.DfkdError) as refusal:
        dt.tune(lambda rows: rows[:, 0], **(SMALL | {"features": ["a"]} | given))
    assert words in str(refusal.value)
    assert not (tmp_path / "mlruns" / "optuna.db").exists()


def test_a_study_that_is_not_there(here):
    with pytest.raises(dt.DfkdError, match="'nowhere'"):
        dt.load_result("nowhere")


CLOSED = """
import sys
import torch
import dfkd_tune as dt

sys.stdout.close()
torch.manual_seed(0)
small = {"steps": 20, "batch": 20, "pool": 200, "bank": 100}
found = dt.tune(torch.nn.Linear(2, 1), features=["a", "b"], name="closed", n_trials=1, workers=1, study={"reruns": 0}, budget=small)
print(len(found.trials), found.register().uri, file=sys.stderr)
"""


def test_a_closed_standard_output_closes_nothing(here):
    ended = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, cwd=here, timeout=300)
    assert ended.stderr.splitlines()[-1:] == ["1 models:/closed@champion"], ended.stderr


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").write_text("a file where the folder would be")
    for teacher in (network(), lambda rows: rows[:, 0]):
        with pytest.raises(dt.DfkdError, match=r"mlruns.*cannot be made"):
            dt.tune(teacher, name="nowhere", n_trials=1, **SMALL)


class Vector(nn.Module):
    """A teacher in float64 that returns ``(N,)``."""

    def __init__(self):
        super().__init__()
        self.inner = network().double()

    def forward(self, x):
        return self.inner(x)[:, 0]


def test_files_of_a_student_take_and_return_rows_as_the_teacher_does(here):
    result = dt.tune(Vector(), n_trials=1, name="vector", study={"reruns": 0}, **SMALL)
    x = torch.tensor([[3.0, 0.5, 1.0], [2.0, -1.0, 3.0]], dtype=torch.float64)
    y = result.student(x)
    assert y.shape == (2,) and y.dtype == torch.float64
    for file in ("vector.pt2", "vector.onnx"):
        assert result.export(file) == pytest.approx(result.certificate.report.rmse, rel=0.5)
    torch.testing.assert_close(torch.export.load("vector.pt2").module()(x), y)
    session = onnxruntime.InferenceSession("vector.onnx", providers=["CPUExecutionProvider"])
    torch.testing.assert_close(torch.from_numpy(session.run(None, {"inputs": x.numpy()})[0]), y)
    result.register("vector")


WINDOW = {"window": {"steps": 3, "channels": [{"name": "load", "mean": 3, "std": 2}]}}


@pytest.mark.parametrize(
    "inputs",
    [{"features": FEATURES}, {"features": WINDOW, "example_inputs": torch.zeros(2, 3, 1)}],
    ids=["rows", "windows"],
)
def test_a_total_is_open_before_a_teacher_in_memory_is_asked(here, request, inputs):
    asked = []

    def priced(x):
        asked.append(len(x))
        return torch.sin(torch.as_tensor(np.asarray(x)).flatten(1)[:, 0])

    given = {"budget": {"steps": 20, "batch": 20, "total_queries": 400}, "progress": False} | inputs
    spent, name = [], request.node.callspec.id
    for _ in range(3):  # the total is used up by the first, and all that the others need is answered
        dt.tune(priced, n_trials=1, name=name, workers=1, study={"reruns": 0}, **given)
        spent.append(sum(asked))
    assert 200 < spent[0] == spent[2] <= 400
    given["budget"]["total_queries"] = 450  # what it returns is known, rows are not
    dt.tune(priced, n_trials=2, name=name, workers=1, study={"reruns": 0}, **given)
    assert spent[2] < sum(asked) <= 450
    with pytest.raises(dt.DfkdError, match="tune: name: is needed with budget"):
        dt.tune(priced, n_trials=1, **given)
    assert sum(asked) <= 450


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"features": {"load": {"levels": ["low", "high"]}, "flow": None}}, "load has levels that are strings"),
        ({"fixed": {"generator.kind": "direct"}}, "generator.kind: direct asks for rows of each trial"),
        ({"max_parameters": 2}, "max_parameters"),
        ({"workers": 2}, "no other process can query it"),
        ({"storage": "sqlite:///one.db", "tracking_uri": "sqlite:///one.db"}, "database at once"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_what_needs_no_answer_is_refused_before_a_row_is_asked(here, changed, words):
    asked = []

    def priced(x):
        asked.append(len(x))
        return np.sin(np.asarray(x)[:, 0])

    given = {"features": ["load", "flow"], "budget": {"total_queries": 400}, "progress": False, "name": "refused"}
    with pytest.raises(dt.DfkdError, match=words):
        dt.tune(priced, n_trials=1, **(given | changed))
    with pytest.raises(dt.DfkdError, match="does not exist"):
        dt.load_result("refused")
    assert not asked


def test_words_for_a_function_are_refused_before_it_is_asked_also_without_a_total(here):
    asked = []
    with pytest.raises(dt.DfkdError, match=r"tune: teacher \(function\): takes numbers alone"):
        dt.tune(lambda x: asked.append(len(x)), features={"load": {"levels": ["low", "high"]}}, n_trials=1)
    assert not asked


def test_a_loaded_teacher_is_not_taken_for_one_whose_rows_are_counted(here):
    from teacher_files import save_pt2

    loaded = dt.load_teacher(save_pt2(network(), here / "loaded.pt2", dtype=torch.float32))
    with pytest.raises(dt.DfkdError, match=r"tune: teacher: was loaded before.*give what it was loaded from"):
        dt.tune(loaded, n_trials=1, name="loaded", budget={"total_queries": 400}, progress=False)
