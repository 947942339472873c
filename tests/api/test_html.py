"""How a notebook shows a result: with its certificate or why there is none, and with no code of anybody's."""

import pytest
from wrong_students import Student

from dfkd_tune.api.html import result_page, rmse_line
from dfkd_tune.errors import NotFound
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.reporting.findings import find
from dfkd_tune.search.loaded import load_study
from dfkd_tune.testing.problems import make_problem, network


@pytest.fixture
def findings(store, finished):
    return find(load_study(store.storage, "finished"))


def test_a_certificate_is_told_in_numbers(findings):
    problem = make_problem()
    certificate = certify(problem, Student(network(), lambda x: 0.25))
    page = result_page("finished", findings, certificate, None)
    assert rmse_line(certificate).startswith("0.25") and rmse_line(certificate) in page
    assert rmse_line(certificate).endswith("0.25 to 0.25 at 95 % confidence")
    assert f"{certificate.worst.gap:.4g}" in page and "6 complete" in page and "dfkd-tune show finished" in page
    assert "in this process alone" not in page


def test_what_is_missing_is_told_and_words_stay_words(findings):
    lost = NotFound("<script>alert(1)</script>", "is not here", remedy="look")
    page = result_page("finished", findings, lost, "it is no <b>file</b>")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;: is not here; look" in page
    assert (
        "in this process alone: it is no &lt;b&gt;file&lt;/b&gt;" in page
        and "<script" not in page
        and "<b>" not in page
    )
