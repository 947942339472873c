"""The presets against the published loop, written out with modules, autograd and torch.optim."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.plain import NOISE, generator_network, plain_distillation
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, make_problem, network, run
from dfkd_tune.training.member import BLOCK, Member
from dfkd_tune.training.problem import Problem

STEPS, ROWS = 60, 50
TEACHER_DEFAULTS = {"random": "random", "adversarial": "adversarial", "paper": "direct"}


def linear(weight, bias):
    layer = nn.Linear(*weight.shape, dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.T, "bias": bias.flatten()})
    return layer


def published(problem, member, kind):
    """The weights that the plain loop ends with, from a member's own start and on the rows the member will draw."""
    w1, b1, w2, b2 = member.weights
    student = nn.Sequential(linear(w1, b1), nn.Tanh(), linear(w2, b2))
    generator = generator_network(FEATURES)
    if kind == "adversarial":
        generator[0], generator[2] = (linear(member.state[f"w{i}"], member.state[f"b{i}"]) for i in (1, 2))
    rng = torch.Generator().set_state(member.rng.get_state())
    index = torch.randint(len(problem.pool), (BLOCK, 2 * ROWS), generator=rng)[:STEPS]
    if kind == "adversarial":  # its synthetic rows start from noise, so the first half of the draws goes unused
        index = index[:, ROWS:]
    rows = iter(problem.pool.z[index].reshape(-1, 2 * ROWS if kind == "random" else ROWS, FEATURES))
    plain_distillation(
        lambda x: (problem.teacher.function(x) - problem.shift) / problem.spread,
        student,
        lambda count: next(rows),
        kind,
        steps=STEPS,
        generator=generator,
        noise=lambda count: torch.randn(count, NOISE, generator=rng, dtype=torch.float64),
    )
    assert next(rows, None) is None
    return [tensor.detach() for i in (0, 2) for tensor in (student[i].weight.T, student[i].bias)]


def prepared(preset, outputs=1, quick=False):
    problem = make_problem(outputs=outputs, quick=quick)
    member = Member("solo", replace(PRESETS[preset], steps=STEPS), seed=3)
    member.begin(problem)
    return problem, member


@pytest.mark.parametrize("quick", [False, True], ids=["autograd", "chain"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("preset", TEACHER_DEFAULTS)
def test_preset_is_the_published_algorithm(preset, outputs, quick):
    problem, member = prepared(preset, outputs, quick)
    start = member.weights
    expected = published(problem, member, TEACHER_DEFAULTS[preset])
    run(problem, member)
    for mine, theirs, before in zip(member.weights, expected, start, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
        assert (mine - before).abs().max() > 1e-3  # it did learn


def test_in_the_teachers_own_units():
    """Without normalization a student learns raw answers, and regularizers weigh as they do in the published loop."""
    teacher = Teacher("scaled", lambda x: 7.0 * network(1)(x) + 3.0, torch.float64, "sha")
    inputs = Inputs.unknown(FEATURES)
    raw = Problem(
        teacher, inputs, probe(teacher, inputs), pool_rows=256, bank_rows=100, dtype=torch.float64, normalize=False
    )
    bank = raw.banks["selection"]
    assert torch.equal(bank.values, teacher(bank.z)) and torch.equal(bank.spread, torch.ones(1, dtype=torch.float64))
    assert torch.allclose(raw.pool.values, teacher(raw.pool.z))
