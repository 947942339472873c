"""Students of teachers that take missing numbers: as faithful there as elsewhere, in training and in every file."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.models import Model
from teacher_files import fails
from torch import nn

from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.evaluation.regions import Condition, regions
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.export.export import export
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.student_files import read_student, student_files
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.registry import model_files
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem

TREE = {
    "features": [
        {"name": "load", "mean": 50.0, "std": 10.0, "missing": 0.3},
        "flow",
        {"name": "n", "range": [0, 9], "missing": 0.1},
    ]
}
INPUTS = parse_features(TREE, "features.yaml")
ALONE = parse_features({"features": [{"name": "load", "missing": 0.3}, "flow", "n"]}, "features.yaml")
"""Nothing else is declared, so that rows are not projected."""
GOOD = {"steps": 1500, "batch": 64, "optimizer": {"kind": "adam", "lr": 0.01}, "student": {"kind": "mlp", "width": 24}}


def imputing(x: torch.Tensor) -> torch.Tensor:
    """A teacher that fills gaps, and answers another function where it does."""
    gone = x[:, :1].isnan()
    load, flow = ((x[:, :1] - 50) / 10).nan_to_num(1.5), x[:, 1:2]
    n = x[:, 2:].nan_to_num(4.0) / 9
    return torch.tanh(load * flow + n) + torch.where(gone, 2.0 * flow, 0.5 * load)


def problem_of(function=imputing, inputs=INPUTS, **sizes) -> Problem:
    teacher = Teacher("imputing", function, torch.float64, "sha")
    return Problem(teacher, inputs, probe(teacher, inputs), **({"pool_rows": 4000, "bank_rows": 2000} | sizes))


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of()


@pytest.fixture(scope="module")
def outcome(problem):
    return distill(problem, recipe(PRESETS["random"], generator={"kind": "gaussian"}, **GOOD), seed=0)


def gaps_of(problem, module) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardized rows, and gaps over the teacher's standard deviation on the report bank."""
    z = problem.banks["report"].z
    x = problem.inputs.raw(z, torch.float32)
    with torch.no_grad():
        return z, (module(x).double() - imputing(x.double())).abs() / problem.spread


def test_a_student_is_faithful_where_values_are_missing(problem, outcome):
    module = problem.module(outcome.recipe.student, outcome.weights)
    z, gaps = gaps_of(problem, module)
    for absent in (z[:, 0].isnan(), ~z[:, 0].isnan(), z[:, 2].isnan()):
        assert int(absent.sum()) > 100 and float(gaps[absent].square().mean().sqrt()) < 0.12
    assert outcome.selection.nrmse < 0.12


@pytest.mark.parametrize("inputs", [INPUTS, ALONE], ids=["among others", "alone"])
@pytest.mark.parametrize("kind", GENERATORS)
def test_rows_of_every_generator_are_missing_where_that_is_declared(kind, inputs):
    problem = problem_of(inputs=inputs, pool_rows=256, bank_rows=100)
    one = recipe(
        PRESETS["paper"], steps=12, batch=40, generator={"kind": kind}, alpha={"kind": "constant", "value": 0.5}
    )
    outcome = distill(problem, one, seed=1)
    assert outcome.failure is None and outcome.selection.nrmse > 0
    made = outcome.synthetic
    assert not made[:, 1].isnan().any() and problem.inputs.present(made).isfinite().all()
    share = float(made[:, 0].isnan().double().mean())
    assert 0.0 < share < 0.7, share


def test_the_stress_bank_the_attack_and_the_regions_hold_missing_values(problem, outcome):
    add_stress(problem, outcome.recipe)
    assert problem.banks["stress"].z[:, 0].isnan().any() and problem.banks["stress"].values.isfinite().all()
    found = certify(problem, outcome)
    assert found.as_dict()["worst"]["distance"] <= 0.5001
    assert "missing with probability 0.3" in str(found.inputs["declared"])


def test_a_region_of_missing_values_is_named():
    z = INPUTS.draw(4000, torch.Generator().manual_seed(0))
    gone = z[:, :1].isnan()
    worst, *others = regions(INPUTS, z, torch.where(gone, 3.0, 0.1 + 0 * gone), torch.ones(1))
    assert str(worst) == "load is missing" and worst.share == pytest.approx(0.3, abs=0.03)
    assert any("load is not missing" in str(each) for each in others)
    assert sum(each.rows for each in (worst, *others)) == len(z) // 2
    assert str(Condition("load", 3.0, None, None, True)) == "(load > 3 or load is missing)"


@pytest.fixture(scope="module")
def kept(problem, outcome, tmp_path_factory):
    """The network, its schema and its description, from the files of the student."""
    folder = tmp_path_factory.mktemp("student")
    for name, data in student_files(problem, outcome, {"teacher": "imputing"}).items():
        (folder / Path(name).name).write_bytes(data)
    network, result = read_student(folder)
    return network, InputSchema.of(result), result


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_file_answers_missing_values_as_trained(problem, outcome, kept, kind, tmp_path):
    if kind == "litert":  # `make test-litert` has an environment for its extra
        pytest.importorskip("litert_torch")
    network, units, _ = kept
    assert units.rows[:, 0].isnan().any()
    _, rmse = export(network, units, kind, tmp_path / f"student.{kind}", problem.evaluator.rmse)
    assert rmse == pytest.approx(outcome.selection.rmse, rel=1e-3)


def test_a_served_student_takes_gaps_where_they_are_declared(problem, kept, tmp_path):
    network, _, result = kept
    model_files.save(tmp_path / "model", network, result, Model())
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    x = problem.inputs.raw(problem.banks["report"].z[:40].double())
    table = model_files.table(result, x.numpy())
    assert table["load"].isna().any() and table["load"].dtype == np.float64
    with torch.no_grad():
        np.testing.assert_allclose(served.predict(table), network(x.float()).numpy(), rtol=1e-5)
    np.testing.assert_allclose(served.predict(table.drop(columns="load")), served.predict(table.assign(load=np.nan)))
    with pytest.raises(mlflow.exceptions.MlflowException, match="column 'flow': 1 value missing, first in row 0"):
        served.predict(table.assign(flow=[np.nan, *table["flow"][1:]]))
    (load,) = (line for line in model_files.note(result).splitlines() if line.startswith("| load | double |"))
    assert load.endswith("may be missing |")


REFUSING = {
    "answers": (lambda x: x.sum(1), "it answers NaN"),
    "raises": (lambda x: 1 / 0 if bool(x.isnan().any()) else x.sum(1), "division by zero"),
}


@pytest.mark.parametrize(("function", "words"), REFUSING.values(), ids=REFUSING)
def test_a_teacher_that_takes_no_missing_values_is_told_before_anything(function, words):
    teacher = Teacher("t", function, torch.float64, "sha")
    with fails("t", "takes no missing values, and load may be missing (missing: 0.3)", words, "imputer"):
        probe(teacher, INPUTS)


def test_the_feature_whose_gaps_are_not_taken_is_named():
    teacher = Teacher("t", lambda x: x[:, 0].nan_to_num(0.0) + x[:, 1] + x[:, 2], torch.float64, "sha")
    with fails("t", "n may be missing (missing: 0.1)"):
        probe(teacher, INPUTS)
    with fails("t", "takes no missing values, and load"):
        probe(Teacher("t", nn.Linear(3, 1).double(), torch.float64, "sha"), INPUTS)


def trees(folder: Path, library: str, x: np.ndarray, y: np.ndarray) -> Path:
    if library == "xgboost":
        from xgboost import XGBRegressor

        model = XGBRegressor(n_estimators=20, max_depth=3).fit(x, y)
        model.save_model(folder / "t.json")
        return folder / "t.json"
    if library == "lightgbm":
        from lightgbm import LGBMRegressor

        LGBMRegressor(n_estimators=20, verbose=-1).fit(x, y).booster_.save_model(folder / "t.txt")
        return folder / "t.txt"
    if library == "catboost":
        from catboost import CatBoostRegressor

        CatBoostRegressor(iterations=20, verbose=0, allow_writing_files=False).fit(x, y).save_model(
            str(folder / "t.cbm")
        )
        return folder / "t.cbm"
    import skops.io
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    skops.io.dump(make_pipeline(SimpleImputer(add_indicator=True), Ridge()).fit(x, y), folder / "t.skops")
    return folder / "t.skops"


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost", "sklearn"])
def test_trees_and_imputers_take_missing_values(library, tmp_path):
    pytest.importorskip(library)
    x = INPUTS.raw(INPUTS.draw(800, torch.Generator().manual_seed(0))).numpy()
    file = trees(tmp_path, library, x, imputing(torch.from_numpy(x)).numpy().ravel())
    (tmp_path / "features.yaml").write_text(str(TREE))
    teacher, inputs = with_inputs(load_teacher(file), tmp_path / "features.yaml")
    assert probe(teacher, inputs).kind == "black box"
    rows = torch.tensor([[torch.nan, 1.0, 3.0], [30.0, 1.0, 3.0]], dtype=teacher.dtype)
    filled, plain = teacher(rows)[:, 0].tolist()
    assert abs(filled - plain) > 0.05
