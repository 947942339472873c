"""The last lines of a study: which figure is of what, and why this student was promoted."""

import io

import pytest
from rich.console import Console

from dfkd_tune.reporting.summary_text import why_higher
from dfkd_tune.reporting.terminal_summary import promoted, summary
from dfkd_tune.search.progress import Progress, StudyResult
from dfkd_tune.search.ranking import Promoted


def printed(show, rmse: float = 0.2, **about) -> str:
    file = io.StringIO()
    student = Promoted(3, "trial-0003", 0.1, rmse, 0.1)
    result = StudyResult("pump", (0.1, 3), student, 0.1, 0.21, "", "", Progress(4), **about)
    show(Console(file=file, width=200), result)
    return file.getvalue()


def ending(objective: str):
    return lambda console, result: summary(console, result, [], "T0", objective, {})


def test_a_higher_rmse_is_explained():
    assert "is 100 % higher (students are promoted by the objective, robust)." in printed(ending("robust"))
    assert "is 50 % lower." in printed(ending("robust"), rmse=0.05)
    assert "is 100 % higher." in printed(ending("rmse"))


@pytest.mark.parametrize(("share", "objective"), [(0.9, "robust"), (1.0, "nrmse"), (1.5, "rmse")])
def test_nothing_is_explained_elsewhere(share, objective):
    assert why_higher(share, objective) == ""


def test_outputs_of_other_scales_are_told_each():
    outputs = {"leak": (2e-8, 0.1), "force": (1700.0, 0.01)}
    told = printed(lambda console, result: promoted(console, result, "T0"), by_output=outputs)
    assert "By output, on the report bank: leak 2e-08, 10 % of its standard deviation; force 1700, 1 %" in told
    assert "By output" not in printed(lambda console, result: promoted(console, result, "T0"))
