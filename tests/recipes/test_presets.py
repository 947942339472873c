"""Presets: which teachers each one is for."""

import dataclasses

import pytest
import torch

from dfkd_tune.recipes.presets import BLACK_BOX, PRESETS, ROUGH, SHALLOW
from dfkd_tune.testing.problems import make_problem, network
from dfkd_tune.training.distill import distill


def test_the_default_of_black_boxes_distills_a_teacher_without_gradients():
    teacher = network()
    problem = make_problem(lambda x: torch.from_numpy(teacher(x).detach().numpy().copy()))
    outcome = distill(problem, dataclasses.replace(BLACK_BOX, steps=60, batch=20), seed=0)
    assert outcome.failure is None and outcome.selection.nrmse < 1
    assert not BLACK_BOX.generator.needs_gradients and not BLACK_BOX.loss.gradients


def test_it_is_that_of_deep_teachers_but_for_the_gradients():
    """So that what was measured of one holds of the other."""
    assert dataclasses.replace(BLACK_BOX, loss=ROUGH.loss) == ROUGH


def test_narrow_students_train_on_new_rows_until_the_end():
    recipe = dataclasses.replace(SHALLOW, steps=60, batch=20).with_student(width=3)
    outcome = distill(make_problem(network(hidden=12)), recipe, seed=0)
    assert outcome.failure is None and outcome.selection.nrmse < 1
    assert outcome.teacher_rows >= 60 * 10  # no synthetic row is seen twice


@pytest.mark.parametrize("name", PRESETS)
def test_trials_of_all_presets_cost_the_same(name):
    assert PRESETS[name].steps * PRESETS[name].batch == 2_000_000 and PRESETS[name].teacher_rows is None
