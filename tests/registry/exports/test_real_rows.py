"""A student is compared with its teacher on a table, whose rows go nowhere."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from asked import fails
from mlflow import MlflowClient

from dfkd_tune import Feature, Inputs
from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.domain.fit import domain_of
from dfkd_tune.registry.exports.real_rows import compare, raw_rows
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.registry.versions import models_of
from dfkd_tune.tables.read import Reading, read_table

pytestmark = pytest.mark.usefixtures("undrawn")

MIXED = Inputs(
    [
        Feature("load", mean=10.0, std=2.0),
        Feature("site", levels=["north", "south", None]),
        Feature("heat", mean=20.0, std=5.0, missing=0.2),
    ]
)


def test_figures_are_those_of_plain_arithmetic():
    rng = torch.Generator().manual_seed(0)
    inputs = Inputs([Feature("a", mean=0.0, std=1.0), Feature("b", mean=5.0, std=2.0)])
    x = inputs.raw(inputs.draw(2_000, rng))
    x[:, 0] += 1.5
    theirs = torch.stack([x.sum(1), x[:, 0] * 100], 1)
    ours = theirs + torch.where(x[:, :1] > 2, 1.0, 0.1) * torch.randn(2_000, 2, generator=rng, dtype=torch.float64)
    truth = theirs + 1
    domain = domain_of(inputs, 0).tree()
    found = compare("t.csv", "0", inputs, x, theirs, ours, ["y", "power"], truth, domain)
    gaps = (ours - theirs).numpy()
    assert found.rmse == pytest.approx(np.sqrt(np.square(gaps).mean()))
    assert found.outputs[1].nrmse == pytest.approx(np.sqrt(np.square(gaps[:, 1]).mean()) / theirs[:, 1].numpy().std())
    assert found.outputs[0].quantiles == pytest.approx(np.quantile(np.abs(gaps[:, 0]), [0.5, 0.95, 0.99]))
    assert found.outputs[0].teacher_rmse == pytest.approx(1.0)
    relative = np.abs(gaps / theirs.numpy().std(0)).max(1)
    assert [row for row, _ in found.worst] == np.argsort(-relative)[:5].tolist()
    assert str(found.regions[0]).startswith("a > ") and found.regions[0].ratio > 1.3
    assert (found.drift[0].feature, found.drift[0].shift) == ("a", pytest.approx(1.5, abs=0.1))
    inside = found.in_domain
    assert 0.9 < inside < 1
    assert found.rmse**2 == pytest.approx(inside * found.inside**2 + (1 - inside) * found.outside**2)


def test_words_and_gaps_are_what_the_student_takes(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("heat,site,load,other\n1,north,5,a\n,south,6,b\n3,,7,a\n4,north,8,b\n")
    table = read_table(file, Reading(missing="level", at_least=1))
    assert raw_rows(file, table, MIXED).nan_to_num(-1).tolist() == [[5, 0, 1], [6, 1, -1], [7, -1, 3], [8, 0, 4]]
    for text, words in {
        "site,load\nnorth,5\n": ["has no column 'heat'"],
        "heat,site,load\n1,west,5\n": ["column 'site'", "'west', which is no level"],
        "heat,site,load\n1,north,\n2,north,3\n": ["column 'load'", "misses a value in row 0"],
        "heat,site,load\n1,north,a\n2,north,b\n": ["column 'load'", "holds words"],
    }.items():
        file.write_text(text)
        with fails(*words, kind=FeaturesError):
            raw_rows(file, read_table(file, Reading(missing="level", at_least=1)), MIXED)


def test_the_command_logs_figures_and_no_row(store, study, dfkd, tmp_path):
    _, result, run = load_trial(store.tracking, study, None)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    names = result["features"]
    pd.DataFrame(x, columns=names).assign(y=0.123456).to_parquet(tmp_path / "real.parquet")
    ended = dfkd("evaluate", study, "--data", "real.parquet", "--target", "y", *store.options[2:])
    assert ended.status == 0, ended.err
    assert (
        "real.parquet, 300 rows: RMSE to the teacher" in ended.out and "makes this table a selection set" in ended.out
    )
    told = dfkd("evaluate", study, "--data", "real.parquet", "--json", *store.options[2:])
    found = json.loads(told.out)
    client = MlflowClient(store.tracking)
    kept = client.get_run(run.info.run_id)
    assert kept.data.metrics["evaluation/rmse"] == pytest.approx(found["rmse"])
    (logged,) = models_of(client, run)
    values = {each.key: each.value for each in client.get_logged_model(logged.model_id).metrics}
    assert values["evaluation/rmse"] == pytest.approx(found["rmse"])
    (file,) = client.list_artifacts(run.info.run_id, "evaluation")
    held = json.loads(Path(client.download_artifacts(run.info.run_id, file.path, str(tmp_path))).read_text())
    assert held["rows"] == 300 and not set(np.round(x.ravel(), 6).tolist()) & set(np.round(numbers(held), 6).tolist())
    ended = dfkd("evaluate", study, "--data", "real.parquet", "--target", "z", *store.options[2:])
    assert ended.status != 0 and "has no column of numbers 'z'" in ended.err


def test_other_columns_are_not_read_and_rows_have_their_numbers_in_the_file(store, study, dfkd, tmp_path):
    """A real table has times, identifiers, notes and gaps in columns that no student takes."""
    _, result, _ = load_trial(store.tracking, study, None)
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    plain = pd.DataFrame(x, columns=result["features"]).assign(y=0.5)
    other = plain.assign(
        at=pd.Timestamp("2020-01-01"), code=2**60, note=[["a"]] * 60, hole=np.nan, far=np.inf
    )  # each of them is refused by `describe`
    plain.to_parquet(tmp_path / "whole.parquet")
    for name, table in (("plain", plain), ("other", other)):
        table.loc[3, "y"] = np.nan
        table.to_parquet(tmp_path / f"{name}.parquet")
    asked = ["evaluate", study, "--target", "y", "--json", *store.options[2:], "--data"]
    told = dfkd(*asked, "plain.parquet")
    assert told.status == 1 and "column 'y': misses a value in row 3; give --missing drop" in told.err
    found = [json.loads(dfkd(*asked, f"{each}.parquet", "--missing", "drop").out) for each in ("plain", "other")]
    whole = [row for row, _ in json.loads(dfkd(*asked, "whole.parquet").out)["worst"] if row != 3]
    assert found[0]["rows"] == 59 and [row for row, _ in found[0]["worst"]][: len(whole)] == whole
    assert found[0]["notes"] == ["1 of 60 rows left out, in which a value is missing"]
    assert [found[0][key] for key in ("rmse", "worst", "drift")] == [
        found[1][key] for key in ("rmse", "worst", "drift")
    ]
    plain[["y"]].to_parquet(tmp_path / "none.parquet")
    told = dfkd(*asked[:2], *asked[4:], "none.parquet")
    assert told.status == 1 and "has none of the columns" in told.err


def numbers(tree) -> np.ndarray:
    if isinstance(tree, dict | list):
        parts = [numbers(each) for each in (tree.values() if isinstance(tree, dict) else tree)]
        return np.concatenate(parts) if parts else np.zeros(0)
    return np.array([tree], dtype=float) if isinstance(tree, float) else np.zeros(0)
