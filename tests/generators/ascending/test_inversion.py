"""Inversion: rows come near the moments that batch normalization stores, against the gap that they ascend on."""

import pytest
import torch
from generator_contexts import LIKE, ROWS, context
from torch import nn

from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.ascending.inversion import Inversion
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.ops.batch_norm import BatchNormRecorder
from dfkd_tune.testing.problems import make_problem, raw, recipe, run
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.strategy import Stacked

INPUTS = Inputs([Feature(name="hot", mean=300.0, std=20.0), Feature(name="cold", mean=-4.0, std=0.5)])
BARE = {"decay": 0.0, "gamma": 0.0, "step_size": 0.005}


def network() -> nn.Sequential:
    """A teacher whose training rows were not where its inputs are declared: hotter by two standard deviations, and narrower."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).double()
    rng = torch.Generator().manual_seed(3)
    z = 0.5 * torch.randn(4_000, 2, generator=rng, dtype=torch.float64) + torch.tensor([2.0, 0.0])
    with torch.no_grad():
        for _ in range(60):
            made.train()(raw(INPUTS, z))
    return made.eval().requires_grad_(False)


def problem(quick: bool = False) -> Problem:
    return make_problem(network(), inputs=INPUTS, quick=quick)


def moved(kind: type, steps: int, **about) -> torch.Tensor:
    made = context(mismatch=torch.ones_like)
    return kind.sample(Stacked([kind(steps=steps, **BARE, **about)] * 2, LIKE), {}, made)


def test_without_weight_it_is_direct():
    assert torch.equal(moved(Inversion, 3, matching=0.0), moved(Direct, 3))


def test_the_weight_decides_between_gap_and_moments():
    origin = context().origin
    strong = moved(Inversion, 1, matching=1e6, ascent="sign")
    torch.testing.assert_close(strong, origin - 10 * 0.005)  # against the mismatch, whose gradient is 1 everywhere
    assert torch.equal(moved(Inversion, 1, matching=1e-9, ascent="sign"), moved(Direct, 1, ascent="sign"))


def test_every_step_is_counted_with_its_moments():
    """The first step of direct has its gradients from the pool; the moments of its rows are a query each."""
    made = context()
    Inversion.sample(Stacked([Inversion(steps=3)] * 2, LIKE), {}, made)
    assert made.queries == [5 * ROWS, 5 * ROWS]


def missed(net: nn.Module, z: torch.Tensor) -> float:
    with BatchNormRecorder() as recorder, torch.no_grad():
        net(raw(INPUTS, z))
    return float(sum(each.mismatch() for each in recorder.heard))


@pytest.mark.parametrize("quick", [False, True], ids=["called", "its layers read"])
def test_rows_of_a_real_teacher_come_near_its_training_rows(quick):
    made = problem(quick)
    assert made.probe.normalizes and (made.teacher.fast is not None) == quick
    found = {}
    for name, about in {"direct": {"matching": 0.0}, "inversion": {"matching": 100.0}}.items():
        one = recipe(
            generator={"kind": "inversion", "steps": 40, "step_size": 0.01, "ascent": "sign"} | about,
            input_bound={"kind": "steps"},
            bound={"kind": "clip", "threshold": 0.1},
        )
        member = Member(name, one, 0)
        member.begin(made)
        found[name] = Cohort(made, [member]).draw(200)
    net = network()
    assert missed(net, found["inversion"]) < 0.3 * missed(net, found["direct"])
    assert found["inversion"][:, 0].mean() > found["direct"][:, 0].mean() + 0.5  # hotter, as the training rows were


class Twice(nn.Module):
    """A teacher that runs its rows and their mirror image as one batch, and more rows than it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.net(torch.cat([x, x.flip(1), torch.zeros_like(x[:1])]))
        return y[: len(x)] + y[len(x) : 2 * len(x)]


@pytest.mark.parametrize(
    "make",
    [problem, lambda: problem(quick=True), lambda: make_problem(Twice().double(), inputs=INPUTS)],
    ids=["called", "its layers read", "arranged otherwise inside"],
)
def test_a_member_does_not_depend_on_the_others(make):
    """The moments are those of a member's own rows."""
    made, one = make(), recipe(generator="inversion")
    (alone,) = run(made, Member("a", one, 0))
    together = run(made, Member("b", one, 1), Member("a", one, 0))[1]
    for mine, theirs in zip(alone.weights, together.weights, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert alone.failure is None and alone.teacher_rows == together.teacher_rows > 0
