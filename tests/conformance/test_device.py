"""Everything that computes does so where the problem lies: on a second device, with the numbers that the host comes to."""

import dataclasses

import pytest
import torch
from second_device import DEVICE, Mixed, SecondDevice
from torch import nn

from dfkd_tune.errors import MachineError
from dfkd_tune.evaluation.attack import attack
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import FAITHFUL, PAPER
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.black_box import from_numpy
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, KNOWN, network, recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

CHOICES = [(section, name) for section, registry in SECTIONS.items() for name in registry]


def problem_on(device: str, teacher: Teacher, inputs: Inputs) -> Problem:
    found = probe(teacher, inputs)
    return Problem(teacher, inputs, found, pool_rows=256, bank_rows=100, dtype=torch.float64, device=device)


def both(teacher: Teacher, inputs: Inputs, wanted) -> tuple:
    """What a distillation comes to on the host and on the second device."""
    host = distill(problem_on("cpu", teacher, inputs), wanted, 1)
    with SecondDevice() as second:
        far = distill(problem_on(DEVICE.type, teacher, inputs), wanted, 1)
    assert second.operations
    return host, far


@pytest.mark.parametrize("section,name", CHOICES, ids=map("-".join, CHOICES))
def test_every_strategy_stays_on_its_device(section, name):
    base = FAITHFUL if section in ("initializer", "loss", "refiner") else PAPER
    teacher = with_fused_forward(Teacher("tiny", network(2), torch.float64, "sha"))
    host, far = both(teacher, KNOWN, dataclasses.replace(recipe(base, **{section: name}), steps=10))
    assert far.failure == host.failure
    if host.failure is None:
        assert far.selection.rmse == pytest.approx(host.selection.rmse, rel=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("section,name", CHOICES, ids=map("-".join, CHOICES))
def test_every_strategy_gives_the_hosts_numbers_on_a_gpu(section, name):
    """Over several blocks of steps, so that those that can be recorded are."""
    base = FAITHFUL if section in ("initializer", "loss", "refiner") else PAPER
    teacher = with_fused_forward(Teacher("tiny", network(2), torch.float64, "sha"))
    wanted = dataclasses.replace(recipe(base, **{section: name}), steps=250)
    host, far = (distill(problem_on(device, teacher, KNOWN), wanted, 1) for device in ("cpu", "cuda"))
    assert far.failure == host.failure
    if host.failure is None:
        assert far.selection.rmse == pytest.approx(host.selection.rmse, rel=1e-6)


class Constant(nn.Module):
    """A network whose graph makes a tensor where it was written."""

    def __init__(self):
        super().__init__()
        self.inner = network(1)

    def forward(self, x):
        return self.inner(x) + torch.ones(1, dtype=x.dtype)[torch.zeros(len(x), 1, dtype=torch.long)]


def black_box(x):
    return x.numpy().sum(1, keepdims=True) ** 2


@pytest.mark.parametrize(
    "function", [network(1), Constant(), from_numpy(lambda x: (x**2).sum(1)), lambda x: torch.from_numpy(black_box(x))],
    ids=["module", "constants", "estimator", "function"],
)  # fmt: skip
def test_every_kind_of_teacher_answers_on_the_device(function):
    teacher, inputs = Teacher("tiny", function, torch.float64, "sha"), Inputs.unknown(FEATURES)
    kind = "direct" if isinstance(function, nn.Module) else "zeroth_order"
    host, far = both(teacher, inputs, recipe(PAPER, generator=kind))
    assert far.selection.rmse == pytest.approx(host.selection.rmse, rel=1e-9)


def test_stress_bank_and_attack_stay_on_their_device():
    teacher, banks, found = with_fused_forward(Teacher("tiny", network(2), torch.float64, "sha")), [], []
    for device in ("cpu", DEVICE.type):
        with SecondDevice():
            problem = problem_on(device, teacher, KNOWN)
            add_stress(problem, dataclasses.replace(recipe(PAPER), steps=60))
            banks.append(problem.banks["stress"].values.cpu())
            gaps = problem.banks["report"].values[:, 0].abs()
            worst = attack(problem, lambda z, p=problem: 0.9 * p.answer(z), torch.ones_like(problem.spread), gaps)
            found.append(worst.z.cpu())
    assert torch.allclose(*banks, rtol=1e-6, atol=1e-9)
    assert torch.allclose(*found, rtol=1e-6, atol=1e-9)


def test_the_second_device_refuses_the_host():
    with SecondDevice():
        far = torch.ones(3).to(DEVICE)
        assert float((far + 1).sum()) == 6.0
        with pytest.raises(Mixed, match=r"aten\.add\.Tensor"):
            far + torch.ones(3)
        with pytest.raises(Mixed, match="random stream"):
            torch.randn(3, device=DEVICE, generator=torch.Generator())


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.device("auto") == hardware.device("cpu") == "cpu"
    with pytest.raises(MachineError, match=r"^--device cuda: .*; give --device auto"):
        hardware.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hardware.device("auto") == hardware.device("cuda") == "cuda"
