"""The shipped studies, the inputs of their cases, and teachers and tables that come from elsewhere."""

import sys
import zipfile
from dataclasses import replace
from functools import cache

import numpy as np
import optuna
import pytest
import torch
from tiny_studies import STUDIES

from dfkd_tune import Feature
from dfkd_tune.errors import SpecError
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.generators.network import Network
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.recipes.recipe import from_leaves
from dfkd_tune.search.space.search_space import gradient_free
from dfkd_tune.search.study_file import parse_spec, read_spec
from dfkd_tune.study.agreement.lengths import trial_steps
from dfkd_tune.study.prepare import prepare
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import batches, run
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import yaml_io

TREES = {file.stem: yaml_io.read(file, SpecError) for file in sorted(STUDIES.glob("*.yaml"))}
NAMES = [name for name, tree in TREES.items() if "teacher" in tree]
TEACHER_DEFAULTS = [(n, kind) for n in NAMES for kind in TREES[n].get("search", {}).get("generator.kind", ["direct"])]


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
    seen = batches(problem(name), Member("a", recipe, 0))
    rows = torch.cat([z[: recipe.batch // 2] for z, _ in seen])
    return rows * problem(name).inputs.scale + problem(name).inputs.center


def far(kind):
    """Steps long enough to leave whatever can be left."""
    return {"step_size": 5.0} if GENERATORS[kind].starts_from_prior else {}


# --- the shipped studies ----------------------------------------------------------------------------------------------


def test_the_cases_are_shipped():
    assert {"digits", "paper", "protein", "quickstart"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_study_suggests_what_its_file_names(name):
    ready, tree = prepared(name), TREES[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    recipes = [ready.space.suggest(study.ask()) for _ in range(40)]
    assert {r.batch for r in recipes} == {tree["budget"]["batch"]}
    assert {r.steps for r in recipes} == {trial_steps(ready.spec)} <= {tree["budget"]["steps"], 1_000, 1_500}
    assert (name == "paper") == (trial_steps(ready.spec) == tree["budget"]["steps"])
    for leaf, values in tree.get("search", {}).items():
        found = {recipe.leaves()[leaf] for recipe in recipes if leaf in recipe.leaves()}
        if isinstance(values, dict):
            assert len(found) > 10 and values["low"] <= min(found) < max(found) <= values["high"]
        elif leaf not in ("alpha.kind", "alpha.value"):  # random sampling has a constant 0 of its own
            assert set(values) <= found


@pytest.mark.parametrize("name, kind", TEACHER_DEFAULTS)
def test_a_short_run_learns(name, kind):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"generator.kind": kind})
    recipe = replace(prepared(name).space.suggest(study.ask()), steps=80)
    assert recipe.leaves()["generator.kind"] == kind
    size, bank = (problem(name).columns, problem(name).outputs), problem(name).banks["report"]
    untrained = recipe.student.init_params(*size, torch.Generator().manual_seed(0), torch.float64)
    (member,) = run(problem(name), Member("a", recipe, 0))
    assert member.failure is None
    before, after = (fidelity(problem(name), recipe, w, bank).nrmse for w in (untrained, member.result()))
    assert after < 0.9 * before


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
        place = "search.generator.kind" if chosen["search"] else "generator.kind"
        assert message.startswith(f"study.yaml: {place}: {kind}") and "black box" in message
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
    (tmp_path / "net.pt2").write_bytes(script("train_digits").to_pt2(net, torch.zeros(2, 64)))
    with torch.no_grad():
        torch.testing.assert_close(load_teacher(tmp_path / "net.pt2")(digits.x[:9]), net(digits.x[:9]))
        assert script("train_digits").rmse(net, digits.x, digits.y) < digits.y.std()
