"""A stored student is the one of its run; where there is none, nothing is made."""

import pytest
import torch
from asked import fails

from dfkd_tune.errors import NotFound
from dfkd_tune.registry.stored_student import load_trial


@pytest.mark.parametrize("trial", [None, 0, 5])
def test_a_student_comes_with_its_result_and_its_run(store, finished, trial):
    student, result, run = load_trial(store.tracking, "finished", trial)
    assert run.data.metrics["rmse"] == pytest.approx(result["rmse"])
    assert run.info.run_name == (finished.promoted.run if trial is None else f"trial-{trial:04d}")
    assert sum(p.numel() for p in student.parameters()) == result["parameters"] and not student.training
    assert student(torch.zeros(2, 3)).shape == (2, 1)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with fails("study 'finished'", f"there is no {tmp_path}/mlflow.db", kind=NotFound):
        load_trial(f"sqlite:///{tmp_path}/mlflow.db", "finished", None)
    assert list(tmp_path.iterdir()) == []
