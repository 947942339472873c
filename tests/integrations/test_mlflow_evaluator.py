"""``mlflow.models.evaluate`` on a registered student, and the evaluator that adds its fidelity to the teacher."""

import logging
from importlib.metadata import entry_points
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from sklearn.metrics import r2_score
from torch import nn

from dfkd_tune import load_teacher, register
from dfkd_tune.integrations.mlflow_evaluator import FidelityEvaluator, fidelity

MODEL = "models:/evaluated@champion"


@pytest.fixture(scope="module")
def evaluated(store, finished):
    """Starts runs where the promoted student of the study ``finished`` is registered, in a process whose MLflow is the store."""
    register(store.tracking, "finished", "evaluated")
    with _use_tracking_uri(store.tracking):
        experiment = MlflowClient().create_experiment("evaluations")
        yield lambda: mlflow.start_run(experiment_id=experiment)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(rng.standard_normal((40, 3)), columns=["x0", "x1", "x2"])
    return rows.assign(y=rows.sum(axis=1))


def answers(small_teacher, table) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of teacher and registered model at the rows of a table."""
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    rows = table[["x0", "x1", "x2"]]
    with torch.no_grad():
        theirs = teacher(torch.from_numpy(rows.to_numpy())).numpy()
    return theirs, np.asarray(mlflow.pyfunc.load_model(MODEL).predict(rows), dtype=np.float64)


def test_mlflow_finds_the_evaluator():
    (found,) = (point for point in entry_points(group="mlflow.model_evaluator") if point.name == "dfkd_fidelity")
    assert found.load() is FidelityEvaluator
    assert "dfkd_fidelity" in mlflow.models.list_evaluators()


def test_an_evaluation_has_the_regressors_metrics_and_fidelity(evaluated, table, small_teacher):
    with evaluated() as run:
        result = mlflow.models.evaluate(MODEL, table, targets="y", model_type="regressor")
    theirs, ours = answers(small_teacher, table)
    gap = np.sqrt(np.mean((ours[:, 0] - table["y"]) ** 2))
    assert result.metrics["root_mean_squared_error"] == pytest.approx(gap, rel=1e-5)
    rmse = np.sqrt(np.mean((ours - theirs) ** 2))
    assert result.metrics["fidelity/rmse"] == pytest.approx(rmse, rel=1e-5)
    assert result.metrics["fidelity/nrmse"] == pytest.approx(rmse / theirs.std(), rel=1e-5)
    assert result.metrics["fidelity/r2"] == pytest.approx(r2_score(theirs, ours), rel=1e-5)
    assert result.metrics["fidelity/worst_gap"] == pytest.approx(np.abs(ours - theirs).max(), rel=1e-5)
    assert MlflowClient().get_run(run.info.run_id).data.metrics["fidelity/rmse"] == result.metrics["fidelity/rmse"]
    logged = mlflow.get_logged_model(mlflow.pyfunc.load_model(MODEL).model_id)
    (linked,) = (metric for metric in logged.metrics if metric.key == "fidelity/rmse")
    assert linked.run_id == run.info.run_id and linked.dataset_digest is not None


def test_fidelity_needs_no_targets(evaluated, table):
    with evaluated():
        result = mlflow.models.evaluate(
            MODEL, table.drop(columns="y"), model_type="dfkd_fidelity", evaluators="dfkd_fidelity"
        )
    assert {*result.metrics} == {f"fidelity/{name}" for name in ("rmse", "nrmse", "r2", "worst_gap")}


def test_options_of_other_evaluators_are_left_to_them(evaluated, table):
    """MLflow hands one configuration to every evaluator."""
    with evaluated():
        options = {"log_explainer": False, "metric_prefix": "val_"}
        result = mlflow.models.evaluate(MODEL, table, targets="y", model_type="regressor", evaluator_config=options)
    assert {"val_r2_score", "val_fidelity/rmse"} <= {*result.metrics}


@pytest.mark.parametrize(
    "wrong", [{"teacher": 3}, {"features": ["x"]}, {"trust_pickle": "no"}, {"metric_prefix": 7, "trust_pickle": True}]
)
def test_an_option_of_another_kind_is_named(evaluated, table, wrong):
    given = {"targets": "y", "model_type": "regressor", "evaluators": "dfkd_fidelity"}
    with evaluated(), pytest.raises(MlflowException, match=rf"dfkd_fidelity: {min(wrong)}: must be"):
        mlflow.models.evaluate(MODEL, table, **given, evaluator_config=wrong)


def test_another_teacher_is_never_taken(evaluated, table, small_teacher, tmp_path, caplog, monkeypatch):
    other = tmp_path / "teacher.pt2"
    module = nn.Linear(3, 1)
    dynamic = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=dynamic), other)
    given = {"targets": "y", "model_type": "regressor"}
    with evaluated(), pytest.raises(MlflowException, match="is not what it was made with") as refused:
        mlflow.models.evaluate(
            MODEL, table, **given, evaluators="dfkd_fidelity", evaluator_config={"teacher": str(other)}
        )
    assert "teacher=PATH" in refused.value.message and len(refused.value.message.splitlines()) == 1
    with evaluated(), pytest.raises(MlflowException, match="has no 'teachr'"):
        mlflow.models.evaluate(MODEL, table, **given, evaluators="dfkd_fidelity", evaluator_config={"teachr": "x"})
    with evaluated():
        moved = mlflow.models.evaluate(
            MODEL,
            table,
            **given,
            evaluators=["dfkd_fidelity"],
            evaluator_config={"dfkd_fidelity": small_of(small_teacher)},
        )
    assert "fidelity/rmse" in moved.metrics and "r2_score" not in moved.metrics
    # Who only evaluates, on a machine without the teacher, gets the regressor's metrics and a warning.
    monkeypatch.setattr("dfkd_tune.registry.certificates.is_file", lambda path: True)
    monkeypatch.setattr("dfkd_tune.integrations.mlflow_evaluator._recorded", lambda run: {})
    with evaluated(), caplog.at_level(logging.WARNING):
        plain = mlflow.models.evaluate(MODEL, table, **given)
    assert "r2_score" in plain.metrics and "fidelity/rmse" not in plain.metrics
    assert "no fidelity to the teacher" in caplog.text


def small_of(teacher: dict[str, str]) -> dict[str, str]:
    return {"teacher": teacher["path"], "architecture": teacher["architecture"]}


def test_models_of_others_are_left_alone(evaluated, table):
    class Sum(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input.sum(axis=1)

    with evaluated():
        model = mlflow.pyfunc.log_model(name="sum", python_model=Sum(), pip_requirements=[])
        result = mlflow.models.evaluate(model.model_uri, table, targets="y", model_type="regressor")
        assert result.metrics["max_error"] < 1e-9 and not [name for name in result.metrics if "fidelity" in name]
        with pytest.raises(MlflowException, match="could not be evaluated"):
            mlflow.models.evaluate(
                model.model_uri, table, targets="y", model_type="regressor", evaluators="dfkd_fidelity"
            )


def test_fidelity_of_several_outputs_and_of_rows_that_do_not_vary():
    theirs = np.array([[0.0, 10.0], [2.0, 30.0]])
    found = fidelity(theirs, theirs + np.array([[1, 0], [-1, 0]]))
    assert found["fidelity/worst_gap_0"] == 1 and found["fidelity/worst_gap_1"] == 0
    assert found["fidelity/rmse_0"] == 1 and found["fidelity/rmse_1"] == 0 and found["fidelity/worst_gap"] == 1
    assert found["fidelity/r2"] == pytest.approx(1 - (1 / 1 + 0) / 2)  # the mean over outputs, each in its own spread
    constant = fidelity(np.ones((3, 1)), np.ones((3, 1)) * 2)
    assert constant == {"fidelity/rmse": 1, "fidelity/worst_gap": 1}
