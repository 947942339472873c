"""Levels in training: those that a teacher's dtype rounds, and nominal ones that are not evenly spaced."""

import pytest
import torch
from torch import nn

from dfkd_tune.errors import FeaturesError
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import yaml_io


def problem_of(teacher: Teacher, levels: dict, folder) -> Problem:
    tree = {"features": [{"name": "gear"} | levels, {"name": "load"}]}
    (folder / "features.yaml").write_text(yaml_io.dump(tree))
    teacher, inputs = with_inputs(teacher, folder / "features.yaml")
    return Problem(teacher, inputs, probe(teacher, inputs), pool_rows=200, bank_rows=100)


def network(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype).eval().requires_grad_(False)


@pytest.mark.parametrize("nominal", [True, False])
def test_uneven_levels_keep_the_fast_form_of_a_teacher(nominal, tmp_path, caplog):
    teacher = Teacher("net", network(torch.float32), torch.float32, "", width=2)
    problem = problem_of(teacher, {"levels": [1.0, 2.0, 7.0], "nominal": nominal}, tmp_path)
    assert problem.teacher.fast is not None and problem.sample.teacher_gap < 1e-5
    assert not caplog.records


def test_a_teacher_receives_levels_as_its_dtype_rounds_them(tmp_path):
    seen, net = set(), network(torch.bfloat16)

    def answer(x: torch.Tensor) -> torch.Tensor:
        seen.update(x[:, 0].tolist())
        return net(x)

    problem_of(Teacher("net", answer, torch.bfloat16, "", width=2), {"levels": [0.1, 0.2, 0.3]}, tmp_path)
    assert seen == {*torch.tensor([0.1, 0.2, 0.3]).bfloat16().tolist()}


@pytest.mark.parametrize("levels", [[256.0, 257.0], [1000.0, 1001.0, 1004.0]])
def test_levels_that_round_to_one_are_refused(levels, tmp_path):
    teacher = Teacher("net", network(torch.bfloat16), torch.bfloat16, "", width=2)
    assert len({*torch.tensor(levels).bfloat16().tolist()}) < len(levels)
    with pytest.raises(FeaturesError, match="takes bfloat16, which cannot distinguish its values"):
        problem_of(teacher, {"levels": levels}, tmp_path)
