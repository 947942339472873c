"""A certificate as a page: it stands alone, runs nothing, and folds many features away."""

from pages_seen import Seen
from wrong_students import Student

from dfkd_tune import Feature, Inputs
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.testing.problems import make_problem


def test_the_page_stands_alone_and_runs_nothing():
    hostile = "<script>alert(1)</script>"
    names = [hostile, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "plain"]
    problem = make_problem(inputs=Inputs([Feature(name=name, mean=0.0, std=1.0) for name in names]))
    student = Student(problem.teacher.function, lambda x: 0.5 * x[:, :1].clamp(min=0) ** 2)
    text = page(certify(problem, student, {"study": hostile, "trial": 3, "run_id": "<b>"}))
    seen = Seen(text)
    assert not seen.references
    assert not seen.tags & {"script", "img", "link", "iframe", "b>"}
    assert not any(word in text for word in ("http:", "https:", "@import", "url("))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert 'name="viewport"' in text
    assert text.index("RMSE") < text.index("<h2>")


def test_many_features_are_folded_away():
    problem = make_problem(inputs=Inputs.unknown(60))
    text = page(certify(problem, Student(problem.teacher.function, lambda x: 0.1 * x[:, :1])))
    assert "36 more features" in text and "and 36 more" in text
