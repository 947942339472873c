"""The shipped studies, the inputs of their cases, and teachers and tables that come from elsewhere."""

import gzip
import hashlib
import json
import math
import runpy
import socket
import sys
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import joblib
import mlflow
import numpy as np
import optuna
import pytest
import skops.io
import torch
from PIL import Image
from problems import batches, run
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import SVR
from torch import nn

from benchmarks.tables import OPENML, from_openml
from dfkd_tune import Feature, yamls
from dfkd_tune.errors import SpecError, TeacherError
from dfkd_tune.generators import GENERATORS
from dfkd_tune.generators.network import Network
from dfkd_tune.inputs import Inputs
from dfkd_tune.population import Member, fidelity
from dfkd_tune.prepared import prepare
from dfkd_tune.problem import Problem
from dfkd_tune.recipe import PAPER, from_leaves
from dfkd_tune.space import gradient_free
from dfkd_tune.spec import parse_spec, read_spec
from dfkd_tune.teachers import Teacher, load_teacher, probe

STUDIES = Path(__file__).parent.parent / "studies"
TREES = {file.stem: yamls.read(file, SpecError) for file in sorted(STUDIES.glob("*.yaml"))}
NAMES = [name for name, tree in TREES.items() if "teacher" in tree]
KINDS = [(n, kind) for n in NAMES for kind in TREES[n].get("search", {}).get("generator.kind", ["direct"])]


@cache
def prepared(name):
    return prepare(read_spec(STUDIES / f"{name}.yaml"))


@cache
def problem(name):
    """The setting of a shipped study, small and in float64."""
    ready = prepared(name)
    sizes = {"pool_rows": 512, "bank_rows": 300, "dtype": torch.float64}
    return Problem(ready.teacher, ready.inputs, ready.probe, **sizes)


@cache
def script(name):
    """A training script of the shipped teachers, as a module."""
    sys.path.append(str(STUDIES))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(STUDIES))


def short(kind, **fields):
    """A few steps of a generator at the published hyper-parameters."""
    given = {f"generator.{name}": value for name, value in fields.items()}
    return replace(from_leaves({"generator.kind": kind} | given, base=PAPER), steps=6, batch=20)


def synthetic(monkeypatch, name, recipe):
    """Raw synthetic rows ``(steps * batch / 2, D)`` that a recipe trains on."""
    seen = batches(monkeypatch, problem(name), Member("a", recipe, 0))
    rows = torch.cat([z[: recipe.batch // 2] for z, _ in seen])
    return rows * problem(name).inputs.scale + problem(name).inputs.center


def far(kind):
    """Steps long enough to leave whatever can be left."""
    return {"step_size": 5.0} if GENERATORS[kind].travels else {}


# --- the shipped studies ----------------------------------------------------------------------------------------------


def test_the_cases_are_shipped():
    assert {"digits", "paper", "protein", "quickstart"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_study_suggests_what_its_file_names(name):
    ready, tree = prepared(name), TREES[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    recipes = [ready.space.suggest(study.ask()) for _ in range(40)]
    assert {(r.steps, r.batch) for r in recipes} == {(tree["budget"]["steps"], tree["budget"]["batch"])}
    for leaf, values in tree.get("search", {}).items():
        found = {recipe.leaves()[leaf] for recipe in recipes if leaf in recipe.leaves()}
        if isinstance(values, dict):
            assert len(found) > 10 and values["low"] <= min(found) < max(found) <= values["high"]
        elif leaf not in ("alpha.kind", "alpha.value"):  # random sampling has a constant 0 of its own
            assert set(values) <= found


@pytest.mark.parametrize("name, kind", KINDS)
def test_a_short_run_learns(name, kind):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"generator.kind": kind})
    recipe = replace(prepared(name).space.suggest(study.ask()), steps=80)
    assert recipe.leaves()["generator.kind"] == kind
    size, bank = (problem(name).features, problem(name).outputs), problem(name).banks["report"]
    untrained = recipe.student.start(*size, torch.Generator().manual_seed(0), torch.float64)
    (member,) = run(problem(name), Member("a", recipe, 0))
    assert member.failure is None
    assert fidelity(recipe, member.result(), bank).nrmse < 0.9 * fidelity(recipe, untrained, bank).nrmse


# --- protein ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", gradient_free())
def test_synthetic_proteins_are_shares_of_a_whole(kind, monkeypatch):
    rows = synthetic(monkeypatch, "protein", short(kind, **far(kind)))
    assert rows.shape[1] == 20 and len(rows.unique(dim=0)) > 30
    assert rows.min() >= -1e-12 and rows.max() <= 1 + 1e-12
    torch.testing.assert_close(rows.sum(1), torch.ones(len(rows), dtype=rows.dtype), rtol=0, atol=1e-9)


def test_the_published_objective_spreads_the_answers_over_the_targets(monkeypatch):
    """The pull towards ``r ~ U(0, 1)`` outweighs the gap, so the teacher's answers come near targets of one's choice."""
    near = {
        low: synthetic(
            monkeypatch,
            "protein",
            short("evolution", generations=20, weight=0.05, pull=1.0, low=low, high=low + 0.1),
        )
        for low in (0.1, 0.8)
    }
    answers = {low: prepared("protein").teacher(rows)[:, 0] for low, rows in near.items()}
    assert all(abs(answers[low].mean() - (low + 0.05)) < 0.1 for low in near)


@pytest.mark.parametrize("kind", [name for name in GENERATORS if name not in gradient_free()])
def test_a_black_box_is_refused_where_gradients_are_needed(kind):
    presets = {"direct": "paper", "adversarial": "adversarial"}
    for chosen in ({"search": {"generator.kind": ["gaussian", kind]}}, {"preset": presets.get(kind), "search": {}}):
        if chosen.get("preset", kind) is None:  # no preset has it
            continue
        files = {"teacher": str(STUDIES / "protein_teacher.skops"), "features": str(STUDIES / "protein_features.yaml")}
        spec = parse_spec(files | chosen, "study.yaml")
        with pytest.raises(SpecError) as caught:
            prepare(spec)
        message = str(caught.value)
        assert message.startswith("study.yaml: search.generator.kind: " + kind) and "black box" in message
        assert "zeroth_order" in message and "evolution" in message and "\n" not in message


def test_the_protein_table_is_compositions_with_a_response():
    table = script("train_protein").generated(seed=3, rows=2000)
    assert table.x.min() >= 0 and np.allclose(table.x.sum(1), 1) and 0 <= table.y.min() < table.y.max() <= 1
    usual = np.array(list(script("train_protein").FREQUENCIES.values()))
    assert np.abs(table.x.mean(0) - usual / usual.sum()).max() < 0.005
    acidic = table.x[:, [table.names.index(name) for name in ("asp", "glu")]].sum(1)
    assert np.corrcoef(acidic, table.y)[0, 1] > 0.5


def write_table(path, table, header=None):
    rows = np.column_stack([table.x, table.y]).tolist()
    lines = [",".join(header or [*table.names, "solubility"]), *(",".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_ones_own_is_read(tmp_path):
    table = script("train_protein").generated(rows=30)
    read = script("train_protein").read_table(write_table(tmp_path / "own.csv", table))
    assert read.names == table.names and np.allclose(read.x, table.x) and np.array_equal(read.y, table.y)


@pytest.mark.parametrize("wrong", ["shares", "target", "columns", "words", "short", "empty"])
def test_a_table_of_something_else_is_refused_in_one_line(tmp_path, wrong):
    table = script("train_protein").generated(rows=30)
    if wrong == "shares":
        table.x[7] *= 1.1
    if wrong == "target":
        table.y[7] = 1.5
    path = write_table(tmp_path / "own.csv", table, ["a", "b"] if wrong == "columns" else None)
    lines = path.read_text().splitlines()
    lines[8] = {"words": lines[8].replace("0.", "x.", 1), "short": lines[8].partition(",")[2]}.get(wrong, lines[8])
    path.write_text("" if wrong == "empty" else "\n".join(lines))
    with pytest.raises(SystemExit) as caught:
        script("train_protein").read_table(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert wrong not in ("shares", "target") or "row 9" in message


# --- digits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GENERATORS)
def test_synthetic_digits_are_images(kind, monkeypatch):
    rows = synthetic(monkeypatch, "digits", short(kind, **far(kind)))
    assert rows.shape[1] == 64 and len(rows.unique(dim=0)) > 30
    assert rows.min() >= -1e-9 and rows.max() <= 16 + 1e-9
    fixed = {i: f.levels[0] for i, f in enumerate(problem("digits").inputs.features) if f.levels}
    assert {0, 32, 39} <= set(fixed)  # never inked in any image
    for i, value in fixed.items():
        assert (rows[:, i] - value).abs().max() < 1e-12


def test_a_generator_network_stays_near_what_it_can_make():
    """Its answers are projected; once they are out of the ranges, the gap must not draw them further out."""
    inputs = Inputs([Feature(name=name, range=[-1.0, 1.0]) for name in "abcd"])
    teacher = Teacher("steep", lambda x: x.sum(1) ** 3, torch.float64, "sha")
    sizes = {"pool_rows": 500, "bank_rows": 300, "dtype": torch.float64}
    still = from_leaves({"optimizer.lr": 1e-9}, base=short("adversarial", beta=0.0, every=1))
    member = Member("a", replace(still, steps=300), 0)
    run(Problem(teacher, inputs, probe(teacher, inputs), **sizes), member)
    state = {name: value[None] for name, value in member.state.items()}
    z = torch.randn(1, 200, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (Network.answer(state, z).abs() / inputs.high).mean() < 15


def test_digits_teacher_and_student_read_real_images():
    digits = script("train_digits").Digits.load()
    test = digits.split(0)["test"]
    with torch.no_grad():
        answers = prepared("digits").teacher(digits.x[test])[:, 0]
    assert (answers - digits.y[test]).square().mean().sqrt() < 0.8 < digits.y.std()


# --- shipped teachers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits_teacher.pt2", "protein_teacher.skops"])
def test_shipped_teachers_are_small_and_hold_no_trace_of_where_they_were_made(name):
    data = (STUDIES / name).read_bytes()
    with zipfile.ZipFile(STUDIES / name) as archive:
        content = b"".join(archive.read(entry) for entry in archive.namelist())
    assert len(data) < 150_000
    for trace in (b"stack_trace", b"site-packages", b".py", b"/home", b"/root", b"/usr", str(STUDIES.parent).encode()):
        assert trace not in data and trace not in content.replace(b".npy", b"")


def test_features_files_say_what_the_training_rows_are():
    proteins, digits = script("train_protein").generated(), script("train_digits").Digits.load()
    train = proteins.split(0)[0]
    for name, tree in {
        "protein": script("train_protein").describe(proteins.names, proteins.x[train]),
        "digits": script("train_digits").describe(digits.x[digits.split(0)["train"]]),
    }.items():
        assert TREES[f"{name}_features"] == tree


def test_the_protein_script_trains_the_shipped_teacher():
    table = script("train_protein").generated()
    train, test = table.split(0)
    mine = script("train_protein").fit(table.x[train], table.y[train]).predict(table.x[test])
    shipped = prepared("protein").teacher(torch.from_numpy(table.x[test]))[:, 0].numpy()
    assert np.abs(mine - shipped).max() < 1e-3
    assert script("train_protein").rmse(shipped, table.y[test]) < 0.12 < table.y.std()


def test_the_digits_script_trains_and_archives(tmp_path):
    digits = script("train_digits").Digits.load()
    net = script("train_digits").train(digits, digits.split(1), seed=1, epochs=2)
    (tmp_path / "net.pt2").write_bytes(script("train_digits").to_pt2(net, 64))
    with torch.no_grad():
        torch.testing.assert_close(load_teacher(tmp_path / "net.pt2")(digits.x[:9]), net(digits.x[:9]))
        assert script("train_digits").rmse(net, digits.x, digits.y) < digits.y.std()


# --- black boxes from files -------------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((40, 3))


class Doubled(BaseEstimator, RegressorMixin):
    """An estimator of one's own."""

    def fit(self, x, y):
        self.n_features_in_ = x.shape[1]
        return self

    def predict(self, x):
        return 2 * x[:, 0]


def ask(teacher, x=X):
    return teacher(torch.from_numpy(x).to(teacher.dtype))[:, 0].numpy()


def test_skops_of_scikit_learn_answers_and_any_other_type_is_refused(tmp_path):
    svr = SVR().fit(X, X[:, 0])
    skops.io.dump(svr, tmp_path / "svr.skops")
    teacher = load_teacher(tmp_path / "svr.skops")
    assert np.array_equal(ask(teacher), svr.predict(X)) and teacher.width == 3
    skops.io.dump(Doubled().fit(X, X[:, 0]), tmp_path / "own.skops")
    with pytest.raises(TeacherError, match=r"^.*own\.skops: holds types beyond.*Doubled; --trust-pickle.*$"):
        load_teacher(tmp_path / "own.skops")
    assert np.array_equal(ask(load_teacher(tmp_path / "own.skops", trust_pickle=True)), 2 * X[:, 0])


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("suffix", [".joblib", ".pkl"])
def test_joblib_is_refused_without_trust_and_not_run(tmp_path, suffix):
    joblib.dump(Payload(tmp_path / "marker"), tmp_path / f"bad{suffix}")
    with pytest.raises(TeacherError, match=r"is a pickle.*skops, or --trust-pickle"):
        load_teacher(tmp_path / f"bad{suffix}")
    assert not (tmp_path / "marker").exists()
    svr = SVR().fit(X, X[:, 0])
    joblib.dump(svr, tmp_path / f"svr{suffix}")
    assert np.array_equal(ask(load_teacher(tmp_path / f"svr{suffix}", trust_pickle=True)), svr.predict(X))


@pytest.mark.parametrize("suffix", [".skops", ".onnx", ".joblib"])
def test_files_cut_short_are_told_in_one_line(tmp_path, suffix):
    file = tmp_path / f"cut{suffix}"
    file.write_bytes((STUDIES / "protein_teacher.skops").read_bytes()[:500])
    with pytest.raises(TeacherError) as caught:
        load_teacher(file, trust_pickle=True)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).eval().requires_grad_(False)


def test_onnx_answers_as_torch_does(tmp_path):
    net, x = network(), torch.from_numpy(X).float()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(net, (x[:2],), tmp_path / "net.onnx", dynamo=False, dynamic_axes=axes, **names)
    teacher = load_teacher(tmp_path / "net.onnx")
    torch.testing.assert_close(teacher(x), net(x), rtol=1e-5, atol=1e-6)
    found = probe(teacher, Inputs.unknown(3))
    assert (teacher.width, found.outputs, found.differentiable) == (3, 1, False)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A local MLflow registry with a torch network and a scikit-learn estimator, version 1 and alias ``best`` of each."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        client = mlflow.MlflowClient()
        experiment = client.create_experiment("teachers", artifact_location=(folder / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment):
            kind = {"serialization_format": "pt2", "pip_requirements": ["torch"], "input_example": X[:2].astype("f4")}
            mlflow.pytorch.log_model(network(), name="net", registered_model_name="net", **kind)
            svr = SVR().fit(X, X[:, 0])
            kind = {"serialization_format": "skops", "pip_requirements": ["scikit-learn"]}
            mlflow.sklearn.log_model(svr, name="svr", registered_model_name="svr", **kind)
        for name in ("net", "svr"):
            client.set_registered_model_alias(name, "best", "1")
        yield {"net": network()(torch.from_numpy(X).float())[:, 0].numpy(), "svr": svr.predict(X)}


@pytest.mark.parametrize("name, differentiable", [("net", True), ("svr", False)])
def test_a_registered_model_is_a_teacher(registry, name, differentiable):
    for address in (f"models:/{name}/1", f"models:/{name}@best"):
        teacher = load_teacher(address)
        assert teacher.source == address
        assert np.allclose(ask(teacher), registry[name], rtol=1e-5, atol=1e-6)
    assert probe(teacher, Inputs.unknown(3)).differentiable == differentiable


def test_a_model_that_is_not_registered_is_told_in_one_line(registry):
    with pytest.raises(TeacherError, match=r"^models:/nobody/1: cannot be had from MLflow: .*$"):
        load_teacher("models:/nobody/1")


# --- tables from OpenML -----------------------------------------------------------------------------------------------

ARFF = """% Served as OpenML serves it.
@RELATION Bike_Sharing_Demand
@ATTRIBUTE season {spring, summer, fall}
@ATTRIBUTE temp REAL
@ATTRIBUTE holiday REAL
@ATTRIBUTE count INTEGER
@DATA
"""
ROWS = [(["spring", "summer", "fall"][i % 3], round(math.sin(i), 3), 1, i * i % 17) for i in range(20)]


@pytest.fixture
def openml(tmp_path, monkeypatch):
    """A cache that holds OpenML's answers of one table, a gap in its sixth row; no network."""
    lines = [",".join("?" if (i, j) == (5, 1) else str(v) for j, v in enumerate(row)) for i, row in enumerate(ROWS)]
    arff = (ARFF + "\n".join(lines) + "\n").encode()
    columns = {"season": "nominal", "temp": "numeric", "holiday": "numeric", "count": "numeric"}
    flags = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    features = [
        {"index": str(i), "name": n, "data_type": kind, "is_target": str(n == "count").lower()} | flags
        for i, (n, kind) in enumerate(columns.items())
    ]
    name = OPENML["bikesharing"].lower()
    listed = {"did": 42712, "name": name, "version": 1, "status": "active", "format": "ARFF", "file_id": 22044}
    described = {"id": "42712", "name": name, "version": "1", "format": "ARFF", "status": "active", "file_id": "22044"}
    described["description"] = "Bikes rented in an hour."
    described |= {"url": "https://www.openml.org/data/v1/download/22044/bike.arff"}
    described |= {"md5_checksum": hashlib.md5(arff).hexdigest()}
    answers = {
        f"api/v1/json/data/list/data_name/{name}/limit/2/data_version/1": {"data": {"dataset": [listed]}},
        "api/v1/json/data/42712": {"data_set_description": described},
        "api/v1/json/data/features/42712": {"data_features": {"feature": features}},
        "api/v1/json/data/qualities/42712": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(float(len(ROWS)))}]}
        },
    }
    files = {path: json.dumps(answer).encode() for path, answer in answers.items()}
    for path, content in (files | {"data/v1/download/22044/bike.arff": arff}).items():
        file = tmp_path / "openml" / "openml.org" / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content))

    def refuse(*arguments, **options):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path


def test_a_table_comes_from_the_cache_of_openml(openml):
    table = from_openml("bikesharing", openml)
    kept = [row for i, row in enumerate(ROWS) if i != 5]
    assert table.x.shape == (19, 2) and table.x.dtype == table.y.dtype == np.float32  # without gaps and holidays
    for column in (*table.x.T, table.y):
        assert abs(column.mean()) < 1e-6 and column.std() == pytest.approx(1, abs=1e-6)
    expected = {"temp": [row[1] for row in kept], "count": [row[3] for row in kept]}
    assert np.corrcoef(table.x[:, 1], expected["temp"])[0, 1] == pytest.approx(1)
    assert np.corrcoef(table.y, expected["count"])[0, 1] == pytest.approx(1)


# --- benchmarks -------------------------------------------------------------------------------------------------------

BENCHMARKS = STUDIES.parent / "benchmarks"
SHARED = STUDIES.parent.parent / "shared"


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Runs a benchmark's file as a user does, and returns what it wrote to ``--json``, if it was asked to."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
        file = tmp_path / "found.json"
        return json.loads(file.read_text()) if file.exists() else None

    return run


def test_digits_benchmark_pictures_what_each_generator_makes(benchmark, tmp_path, capsys):
    benchmark("digits", "--steps", 30, "--seeds", 0, "--tracking-uri", "none", "--out", tmp_path)
    sheets = {
        name: np.array(Image.open(tmp_path / f"{name}-seed0.png")) for name in ("random", "adversarial", "direct")
    }
    assert len({sheet.tobytes() for sheet in sheets.values()}) == 3
    for sheet in sheets.values():
        assert sheet.shape == (5 * 54 + 6, 10 * 54 + 6)
        assert sheet.min() < 20 and (sheet[6:54, 6:12] > 240).mean() > 0.8  # ink, and the empty left edge of a digit
    said = capsys.readouterr().out
    assert all(name in said for name in sheets)


def test_digits_benchmark_records_runs_with_pictures(benchmark, store):
    benchmark("digits", "--steps", 20, "--seeds", 3, "--tracking-uri", store.tracking)
    runs = store.runs("digits-generators", "benchmark")
    assert [run.info.run_name for run in runs] == ["adversarial-seed3", "direct-seed3", "random-seed3"]
    client = mlflow.MlflowClient(store.tracking)
    for each in runs:
        assert each.data.metrics["rmse_labels"] > each.data.metrics["rmse_teacher"] * 0.5 > 0
        assert [file.path for file in client.list_artifacts(each.info.run_id, "synthetic")] == ["synthetic/images.png"]


def test_protein_benchmark_compares_methods_and_knowledge(benchmark, tmp_path):
    rows = benchmark("protein", "--steps", 60, "--seeds", 0, 1, "--json", tmp_path / "found.json")
    assert [(row["inputs"], row["method"]) for row in rows] == [
        (known, method) for known in ("shares", "moments") for method in ("random", "evolution")
    ]
    for row in rows:
        assert len(set(row["teacher"])) == len(set(row["labels"])) == 2 and max(row["teacher"]) < 1


def test_threshold_table_counts_only_what_helps_every_seed():
    answer = runpy_globals("threshold")["answer"]
    rows = [{"bound": "random", "threshold": None, "reach": None, "seed": s, "real": 2.0, "bank": 2.0} for s in (0, 1)]
    for reach in ("steps", "linf"):
        free = {0: 1.0, 1: 1.2}
        rows += [
            {"bound": "none", "threshold": None, "reach": reach, "seed": s, "real": v, "bank": v}
            for s, v in free.items()
        ]
        # At 0.1 both seeds gain, at 1 one does, by more.
        for bound in ("clip", "target", "cap"):
            for threshold, gains in {0.1: (0.1, 0.1), 1.0: (0.9, -0.1)}.items():
                for s, gain in enumerate(gains):
                    row = {"bound": bound, "threshold": threshold, "reach": reach, "seed": s}
                    rows.append(row | {"real": free[s] - gain, "bank": threshold})
    sheet = answer([{"dataset": "d", **row} for row in rows], 0.3)
    cells = [list(column.cells) for column in sheet.columns]
    assert cells[2] == ["random", *(["none", "clip", "target", "cap"] * 2)]
    assert cells[3][:3] == ["2.0000", "1.1000 ± 0.1000", "0.7000"] and cells[4][2] == "0.64"
    assert (cells[5][2], cells[6][2], cells[7][2], cells[8][2]) == ("1", "0.1", "0.1", "0.91")


def runpy_globals(name):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return runpy.run_path(str(BENCHMARKS / f"{name}.py"))
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.skipif(not SHARED.exists(), reason="the paper's teachers and tables are not shipped")
def test_threshold_benchmark_draws_its_figure(benchmark, tmp_path):
    rows = benchmark(
        *("threshold", "--shared", SHARED, "--datasets", "compactiv", "--steps", 20, "--seeds", 0, "--points", 2),
        *("--out", tmp_path / "figure.svg", "--json", tmp_path / "found.json"),
    )
    assert len(rows) == 1 + 2 * (1 + 3 * 2) and all(0 < row["real"] < 3 for row in rows)
    labels = {(row["bound"], row["threshold"], row["reach"]) for row in rows}
    assert {("clip", 0.02, "linf"), ("cap", 2.0, "steps"), ("none", None, "steps")} < labels
    assert "<svg" in (tmp_path / "figure.svg").read_text()[:2000]
