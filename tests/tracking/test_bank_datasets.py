"""Banks as datasets: one for all students of a study, another for another study, and no row in them."""

import json

import pytest
from mlflow.entities import Run, RunData, RunInfo, RunTag
from mlflow.entities.param import Param

from dfkd_tune.tracking.bank_datasets import METRICS, bank_datasets, bank_of, inputs_of


def parent(tags: dict | None = None, **params) -> Run:
    info = RunInfo("0" * 32, "0", "ann", "FINISHED", 0, 1, "active", artifact_uri=None, run_name="pump")
    data = RunData([], [Param(k, str(v)) for k, v in params.items()], [RunTag(k, v) for k, v in (tags or {}).items()])
    return Run(info, data)


RESULT = {"features": ["load", "flow"]}


def digests(*given) -> dict[str, str]:
    return {name: each.digest for name, each in bank_datasets(*given).items()}


def test_a_bank_is_told_by_what_makes_its_rows():
    first = digests(parent(seed=0, bank=200, steps=40), RESULT)
    assert first.keys() == METRICS.keys() and len({*first.values()}) == 3
    assert digests(parent(seed=0, bank=200, steps=50), RESULT) == first  # the budget makes no other bank
    others = (
        parent(seed=1, bank=200),
        parent(seed=0, bank=300),
        parent({"dfkd.features_sha256": "1"}, seed=0, bank=200),
    )
    for other in others:
        assert not {*digests(other, RESULT).values()} & {*first.values()}
    assert bank_datasets(None, RESULT) == {} == bank_datasets(parent(seed=0), RESULT)


def test_a_dataset_holds_no_row():
    made = bank_datasets(parent(seed=0, bank=200), RESULT)
    assert [column["name"] for column in json.loads(made["report"].schema)["mlflow_colspec"]] == ["load", "flow"]
    assert json.loads(made["report"].profile) == {"num_rows": 200} and made["stress"].profile is None
    assert json.loads(made["selection"].source)["tags"]["study"] == "pump"
    wide = bank_datasets(parent(seed=0, bank=200), {"features": [f"x{i}" for i in range(501)]})
    assert wide["report"].schema is None  # MLflow limits its length
    assert [each.tags[0].value for each in inputs_of(made)] == [*made]


@pytest.mark.parametrize(
    ("metric", "bank"),
    [
        ("rmse", "selection"),
        ("nrmse", "selection"),
        ("stress_rmse", "stress"),
        ("certificate/rmse", "report"),
        ("robust", None),
        ("parameters", None),
        ("curve/rmse", None),
        ("rmse_of_something", None),
    ],
)
def test_a_metric_is_of_one_bank_or_of_none(metric, bank):
    assert bank_of(metric) == bank


def test_banks_of_a_total_have_their_own_rows():
    rows = {"selection_rows": 21, "stress_rows": 16, "report_rows": 40}
    made = bank_datasets(parent(seed=0, **rows), RESULT)
    assert {name: json.loads(each.profile)["num_rows"] for name, each in made.items()} == {
        name: rows[f"{name}_rows"] for name in METRICS
    }
    assert not {*digests(parent(seed=0, **rows | {"report_rows": 41}), RESULT).values()} & {
        each.digest for each in made.values()
    }
