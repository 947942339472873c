"""A study of some size ends with an estimate of what more knowledge would buy; a small one does not take the time."""

import pytest
from whole_studies import run

from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study import prepare

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_study_estimates_it_once_and_counts_its_rows(store, tiny, monkeypatch):
    small = tiny("knowing", trials=12)
    assert not small.estimates_gain
    run(small, store)
    assert "knowledge" not in load_study(store.storage, "knowing").user_attrs
    (before,) = store.runs("knowing", "study")
    monkeypatch.setattr(prepare, "LEAST_STEPS", 0)
    assert small.estimates_gain
    run(tiny("knowing", trials=13), store)
    gain = load_study(store.storage, "knowing").user_attrs["knowledge"]
    assert gain["tier"] == "quantiles" and gain["teacher_rows"] > 0
    (after,) = store.runs("knowing", "study")
    asked = [run.data.metrics["study/shared_teacher_rows"] for run in (before, after)]
    assert asked[1] - asked[0] == gain["teacher_rows"]
    monkeypatch.setattr(prepare.Prepared, "gain", None)  # it would fail if it was called again
    run(tiny("knowing", trials=14), store)
    assert load_study(store.storage, "knowing").user_attrs["knowledge"] == gain


@pytest.mark.parametrize(("trials", "steps", "estimates"), [(60, 20_000, True), (20, 6_000, False)])
def test_a_study_of_default_size_estimates_it(small_teacher, trials, steps, estimates):
    """Its short trials count as what they train, and its finished students, too."""
    about = {"study": {"name": "sized", "trials": trials}, "budget": {"steps": steps}, "teacher": small_teacher}
    assert prepare.prepare(parse_spec(about, "sized")).estimates_gain is estimates


def test_a_teacher_whose_rows_are_counted_is_never_asked(tree, tmp_path, monkeypatch):
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    monkeypatch.setattr(prepare, "LEAST_STEPS", 0)
    made = tree("knowing-dear", trials=50, preset="few_queries", search={}, features=str(tmp_path / "features.yaml"))
    made["budget"] = {"steps": 40, "batch": 20, "total_queries": 600}
    limited = prepare.prepare(parse_spec(made, "knowing-dear"))
    assert not limited.estimates_gain and "counted" in limited.gain().why
