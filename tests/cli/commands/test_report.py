"""``report``: one page at a place that is checked first."""

import pytest
from asked import assert_refused, files_of

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_page_has_the_name_of_its_study(dfkd, store, finished, tmp_path):
    assert dfkd("report", "finished", *store.options).out == "wrote finished-report.html\n"
    assert files_of(tmp_path) == {"finished-report.html"}
    assert (tmp_path / "finished-report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_place_is_checked_before_the_study_is_read(dfkd, tmp_path):
    (tmp_path / "file").touch()
    assert_refused(dfkd("report", "pump", "--out", "gone/page.html"), "there is no folder gone")
    assert_refused(dfkd("report", "pump", "--out", "."), "is a folder")
    assert_refused(dfkd("report", "pump"), "study 'pump'", "mlruns/optuna.db")
    assert files_of(tmp_path) == {"file"}
