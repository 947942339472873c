"""The estimate of what more knowledge would buy: its laws, on tiny teachers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dfkd_tune.evaluation.knowledge.estimate import MOST_ROWS, WORLDS, estimate_gain, rows_of
from dfkd_tune.inputs.dependence.copula_mixture import CopulaMixture, Group
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import BLACK_BOX, FAITHFUL
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import Counting

SHAPED = Inputs([Feature(name=name, quantiles={0.05: -2.0, 0.5: 0.0, 0.95: 2.0}) for name in "abcd"])
SHORT = replace(FAITHFUL, steps=4_000).with_student(width=12)


def gain(function, inputs, recipe=SHORT, seed=0, **given):
    teacher = Teacher("tiny", function, torch.float32, "sha")
    return estimate_gain(teacher, inputs, probe(teacher, inputs), recipe, seed, **given)


def linear(x):
    return 2 * x[:, :1]


def crossed(x):
    return torch.sin(2 * x[:, :1] * x[:, 1:2]) + torch.tanh(3 * x[:, 2:3] - 2 * x[:, 3:4])


def test_correlations_are_no_gain_for_a_teacher_of_one_feature():
    found = gain(linear, SHAPED)
    assert found.tier == "correlation" and found.worlds == WORLDS
    assert abs(found.share) < 0.1 and found.low < 0.05


def waves():
    """A network of one direction, along which it goes up and down: how far rows lie along it depends on correlations."""
    made = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1)).requires_grad_(False)
    made[0].weight.fill_(1.0)
    made[0].bias.copy_(torch.linspace(-12, 12, 64))
    made[2].weight.copy_((torch.arange(64) % 2 * 2.0 - 1) * (1 + torch.arange(64) % 3))
    made[2].bias.zero_()
    return made


def test_correlations_are_a_gain_for_a_teacher_whose_rows_they_spread():
    teacher = with_fused_forward(Teacher("waves", waves(), torch.float32, "sha"))
    found = estimate_gain(
        teacher, SHAPED, probe(teacher, SHAPED), replace(SHORT, student=replace(SHORT.student, width=8)), 0
    )
    assert found.low < found.share < found.high < 1
    assert found.share > 0.2


def test_full_knowledge_has_nothing_to_gain_and_asks_nothing():
    rows = tuple(tuple(float(i == j) for j in range(i + 1)) for i in range(4))
    full = SHAPED.replaced(dependence=CopulaMixture((Group(1.0, (0.0,) * 4, rows),)))
    counting = Counting(crossed)
    teacher = Teacher("tiny", counting, torch.float32, "sha")
    found, counting.rows = probe(teacher, full), 0
    ended = estimate_gain(teacher, full, found, SHORT, 0)
    assert (ended.tier, ended.share, ended.why) == (None, None, None) and counting.rows == 0


def test_it_follows_from_its_seed():
    first, again, other = (gain(crossed, Inputs.unknown(4), seed=seed, worlds=3) for seed in (1, 1, 2))
    assert first == again != other


class NoGradient(nn.Module):
    def forward(self, x):
        return torch.from_numpy(crossed(x.detach()).numpy())


@pytest.mark.parametrize(("function", "recipe"), [(crossed, FAITHFUL), (NoGradient(), BLACK_BOX)])
def test_it_counts_its_rows_and_asks_no_more_than_it_may(function, recipe):
    counting = Counting(function)
    teacher, inputs = Teacher("tiny", counting, torch.float32, "sha"), Inputs.unknown(4)
    found, counting.rows = probe(teacher, inputs), 0
    told = estimate_gain(teacher, inputs, found, replace(recipe, steps=2_000).with_student(width=6), 0)
    assert counting.rows == told.teacher_rows <= MOST_ROWS
    assert told.worlds == WORLDS and told.teacher_rows <= rows_of(20_000)


def test_a_slow_teacher_is_not_asked():
    teacher, inputs = Teacher("tiny", crossed, torch.float32, "sha"), Inputs.unknown(4)
    slow = replace(probe(teacher, inputs), rows_per_second=100.0)
    found = estimate_gain(teacher, inputs, slow, SHORT, 0)
    assert found.share is None and "slowly" in found.why and found.teacher_rows == 0


def test_a_teacher_that_refuses_plausible_rows_ends_no_command():
    found = gain(lambda x: torch.where(x[:, :1].abs() > 4.9, torch.nan, x[:, :1]), Inputs.unknown(4))
    assert found.share is None and "refused" in found.why
