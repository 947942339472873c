"""Benchmarks run, in small, and read the tables that they say."""

import gzip
import hashlib
import importlib
import json
import math
import runpy
import socket
import sys
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from tiny_studies import STUDIES

from benchmarks.tables import OPENML, from_openml
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.recipes.presets import SHALLOW
from dfkd_tune.students.mlp import MLP
from dfkd_tune.testing.problems import make_problem, network
from dfkd_tune.training.distill import distill_all
from dfkd_tune.training.member import Member
from dfkd_tune.utils.seeding import derive

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


@pytest.mark.skipif(not SHARED.exists(), reason="the paper's teachers and tables are not shipped")
def test_fidelity_benchmark_measures_a_study_on_real_inputs(benchmark, tmp_path):
    given = ("--datasets", "cpusmall", "--trials", 3, "--steps", 40, "--tier", "correlation")
    (row,) = benchmark("fidelity", "--shared", SHARED, *given, "--json", tmp_path / "found.json")["rows"]
    assert row["tier"] == "T4"
    real = [trial["real"] for trial in row["trials"]]
    assert len(real) == 3 and min(real) > 0
    assert row["best"] / min(real) - 1 == pytest.approx(row["regret"])


@pytest.mark.skipif(not SHARED.exists(), reason="the cases are not shipped")
def test_every_shared_case_is_run():
    rows = [row.split(" | ")[0].removeprefix("| ") for row in (SHARED / "cases" / "README.md").read_text().splitlines()]
    rows = [row for row in rows[rows.index("|---|---|---|") + 1 :] if row]
    cases = runpy_globals("cases")["CASES"]
    assert len(rows) > 20
    assert [row for row in rows if not any(row.startswith(case.row) for case in cases)] == []
    assert [case.row for case in cases if not any(row.startswith(case.row) for row in rows)] == []
    assert len({case.name for case in cases}) == len(cases)


def test_cases_are_skipped_in_a_line_where_they_are_absent(benchmark, tmp_path, capsys):
    benchmark("cases", "--shared", tmp_path)
    said = capsys.readouterr().out
    assert said.startswith("skipped: ") and len(said.splitlines()) == 1


def test_a_case_says_whether_a_command_refused_in_one_line():
    ended = runpy_globals("cases_lab")["Ended"]
    line = "dfkd-tune: x.yaml: is wrong; change it\n"
    assert ended(1, 1.0, "", line).refused("x.yaml", "change")
    for other in (
        ended(1, 1.0, "", line + "more\n"),
        ended(1, 1.0, "", line * 2),
        ended(3, 1.0, "", line),
        ended(None, 1.0, "", line),
        ended(1, 1.0, "", "Traceback: x.yaml change\n"),
    ):
        assert not other.refused("x.yaml", "change")
    assert not ended(1, 1.0, "", line).refused("y.yaml")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("levels", [{}, {1: [0.0, 1.0, 2.0]}])
def test_a_benchmark_reads_a_student_by_its_architecture_file(tmp_path, dtype, levels):
    """By torch alone, with the same answers."""
    encoding = Encoding([10.0, 1.0], [3.0, 2.0], dtype, levels)
    student, rng = MLP(width=5), torch.Generator().manual_seed(0)
    weights = student.init_params(Columns(encoding.width), 1, rng, torch.float32)
    module = student.module(weights, Columns(encoding.width), encoding, torch.ones(1), torch.ones(1))
    save_file(module.state_dict(), tmp_path / "student.safetensors")
    tree = {"layers": [encoding.width, 5, 1], "activation": "tanh"} | (
        {} if encoding.folds else {"encoding": encoding.tree()}
    )
    (tmp_path / "architecture.yaml").write_text(yaml.safe_dump(tree))
    x = np.stack([np.arange(6.0), np.arange(6) % 3], 1)
    answers = runpy_globals("cases_truth")["asked"](str(tmp_path / "student.safetensors"), x)
    with torch.no_grad():
        assert answers == pytest.approx(module(torch.from_numpy(x).to(encoding.torch_dtype)).numpy()[:, 0], abs=1e-6)


class TestStages:
    """``ablation.py`` distills a wider student first and prunes it to the next stage's width."""

    def distilled(self, factors):
        in_stages = importlib.import_module("ablation").in_stages
        recipe = replace(SHALLOW, steps=40, batch=20).with_student(width=3)
        return in_stages(make_problem(network(hidden=20)), recipe, factors, [0, 1])

    def test_one_stage_is_plain_distillation(self):
        problem = make_problem(network(hidden=20))
        recipe = replace(SHALLOW, steps=40, batch=20).with_student(width=3)
        plain = distill_all(problem, [Member(seed, recipe, derive(seed, "ablation")) for seed in (0, 1)])
        for one, other in zip(self.distilled((1.0,)), plain, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))

    def test_stages_share_the_steps_and_end_at_the_width_of_the_recipe(self):
        for outcome in self.distilled((4.0, 2.0, 1.0)):
            assert (outcome.recipe.student.width, outcome.recipe.steps) == (3, 40 // 3)
            assert outcome.failure is None and outcome.weights[0].shape[1] == 3


def test_every_call_that_is_timed_is_there():
    parts = runpy_globals("overhead")["PARTS"]
    assert all(callable(getattr(owner, name)) for calls in parts.values() for owner, name in calls)
