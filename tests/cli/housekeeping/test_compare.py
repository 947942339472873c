"""``compare``: studies of one teacher against each other; others are refused."""

import json

import pytest
import yaml
from asked import assert_refused

from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


DECLARED = yaml.safe_dump({"features": [{"name": name, "mean": 1.0, "std": 2.0} for name in "abc"]})


def test_compare(dfkd, two):
    ended = dfkd("compare", "pump", "valve", cwd=two.home)
    assert ended.status == 0, ended.err
    assert "study.trials: pump 2, valve 3" in ended.out
    assert "seed noise" in ended.out.splitlines()[-1]
    plain = json.loads(dfkd("compare", "pump", "valve", "--json", cwd=two.home).out)
    assert {study["name"] for study in plain["studies"]} == {"pump", "valve"}
    assert plain["settings"] == {"study.trials": {"pump": 2, "valve": 3}}
    assert all(study["low"] < study["mean"] < study["high"] for study in plain["studies"] if study["seeds"] > 1)
    assert_refused(dfkd("compare", "pump", "none", cwd=two.home), "study 'none'", "does not exist")
    assert dfkd("compare", "pump", "pump", cwd=two.home).status == 2


def test_compare_refuses_another_tier(dfkd, two, tiny, tmp_path):
    (tmp_path / "features.yaml").write_text(DECLARED)
    prepared = tiny("declared", trials=1, features=str(tmp_path / "features.yaml"))
    run_study(prepared, two.storage, two.tracking)
    ended = dfkd("compare", "pump", "declared", cwd=two.home)
    assert_refused(ended, "studies 'pump' and 'declared'", f"tiers T0 and {prepared.inputs.tier}")
    assert dfkd("remove", "declared", "--yes", cwd=two.home).status == 0
