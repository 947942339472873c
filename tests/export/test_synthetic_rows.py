"""Synthetic rows are kept beside a student, so that one can look at them."""

from pathlib import Path

import pytest
import torch

from dfkd_tune.export.synthetic_rows import read_synthetic, synthetic_file
from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER, RANDOM
from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.training.distill import distill


@pytest.mark.parametrize("preset", [RANDOM, PAPER, ADVERSARIAL], ids=["random", "paper", "adversarial"])
def test_synthetic_rows_are_kept_to_look_at(preset, tmp_path):
    problem = make_problem()
    outcome = distill(problem, recipe(preset), 0)
    files = synthetic_file(problem, outcome)
    assert outcome.latency > 0
    if preset is RANDOM:
        assert outcome.synthetic is None and files == {}
        return
    for name, content in files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    torch.testing.assert_close(read_synthetic(problem, tmp_path), outcome.synthetic.float())
    gap = problem.answer(outcome.synthetic) - recipe_answer(problem, outcome, outcome.synthetic)
    plain = problem.answer(problem.pool.z) - recipe_answer(problem, outcome, problem.pool.z)
    if preset is PAPER:  # it climbs the gap
        assert gap.abs().mean() > plain.abs().mean()


def recipe_answer(problem, outcome, z):
    weights = [w.unsqueeze(0) for w in outcome.weights]
    return outcome.recipe.student.answer(weights, z.unsqueeze(0), problem.columns)[0]
