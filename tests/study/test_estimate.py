"""An estimate of a study grows with its trials."""

from functools import partial

import costly
import pytest

from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.calibration import calibration_rows, choose_parallelism
from dfkd_tune.study.estimate import estimate, estimate_rows, first_recipes
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.queries import asked as rows_of
from dfkd_tune.study.queries import queries, stand_in

pytestmark = pytest.mark.usefixtures("undrawn")


def test_an_estimate_grows_with_the_study(tiny):
    few, many = (estimate(tiny("few", trials=trials, reruns=0)) for trials in (2, 200))
    assert few.seconds == pytest.approx(3 * few.trial) and many.seconds == pytest.approx(201 * many.trial)
    assert 0 < few.trial < 60 and few.bytes > 2**20


@pytest.mark.parametrize("row_s", [0.0, 1.2e-3], ids=["fast", "slow"])
def test_a_check_asks_about_as_many_rows_as_it_was_said_to(tmp_path, monkeypatch, row_s):
    """Of a slow teacher, one population is timed besides."""
    monkeypatch.setattr(costly, "ROW_S", row_s)
    monkeypatch.setenv(costly.LOG, str(tmp_path / "asked.txt"))
    tree = costly.costly_tree("asking", tmp_path, None, trials=50)
    tree["budget"] |= {"batch": 10, "pool": 100, "bank": 100}
    tree["search"] = {"generator.kind": ["gaussian", "heavy_tailed"]}
    prepared = prepare(parse_spec(tree, "asking"))
    before, told = costly.asked(tmp_path / "asked.txt"), estimate_rows(prepared, first_recipes(prepared))
    assert costly.asked(tmp_path / "asked.txt") == before
    estimate(prepared)
    choose_parallelism(prepared)
    prepared.gain()
    assert costly.asked(tmp_path / "asked.txt") - before == pytest.approx(told, rel=0.1)
    timed = calibration_rows(prepared, partial(rows_of, stand_in(prepared)))
    assert queries(prepared, first_recipes(prepared)).opening - timed == pytest.approx(before, rel=0.1)
