"""The last lines of a study: which figure is of what, and why this student was promoted."""

import io

import optuna
import pytest
from rich.console import Console

from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.summary_text import headline, why_higher
from dfkd_tune.reporting.terminal_summary import promoted, summary
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.progress import Progress, StudyResult
from dfkd_tune.search.ranking import Promoted


def printed(show, rmse: float = 0.2, **about) -> str:
    file = io.StringIO()
    student = Promoted(3, "trial-0003", 0.1, rmse, 0.1)
    result = StudyResult("pump", (0.1, 3), student, 0.1, 0.21, "", "", Progress(4), **about)
    show(Console(file=file, width=200), result)
    return file.getvalue()


def ending(objective: str):
    return lambda console, result: summary(console, result, [], "T0", objective, {}, StudyRecord({}))


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


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_headline_tells_the_share_of_several_outputs(outputs):
    study = optuna.create_study()
    several = {f"output/rmse_{i}": 1.0 for i in range(outputs)} if outputs > 1 else {}
    known = {"rmse": 1700.0, "nrmse": 0.1, "parameters": 451.0, "recipe": "{}", **several}
    study.add_trial(optuna.create_trial(value=0.1, user_attrs=known))
    told = headline(find(study))
    assert "with an RMSE of 1700" in told
    assert ("10 % of the standard deviation over all outputs" in told) == (outputs > 1)
