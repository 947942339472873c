"""Steps that are recorded and replayed are the steps that would have been taken one by one."""

from contextlib import contextmanager

import pytest
import torch

from dfkd_tune.recipes.presets import PAPER, RANDOM
from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member
from dfkd_tune.training.stepping import cuda_graph
from dfkd_tune.training.stepping.cuda_graph import WARM, GraphedSteps

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Recorded:
    """A recording for the host: replaying it takes the step again, on the same tensors."""

    def __init__(self):
        self.step = None

    def replay(self):
        self.step()


@contextmanager
def recording(graph):
    yield


class OnTheHost(GraphedSteps):
    """Replays by taking the step; what a step counts while it is replayed is undone, as a GPU counts nothing."""

    def _record(self, plans):
        saved = [plan.clone() for plan in self.written()]
        made = super()._record(plans)
        for tensor, then in zip(self.written(), saved, strict=True):
            tensor.copy_(then)  # a recording computes nothing

        def replay():
            before = [getattr(owner, name) for owner, name in self._counters()]
            self._step(*(kept.index_select(0, self._at).squeeze(0) for kept in self._plans))
            self._at.add_(1)
            for (owner, name), then in zip(self._counters(), before, strict=True):
                setattr(owner, name, then)

        if made:
            self._graph.step = replay
        return made


@pytest.fixture
def on_the_host(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph", recording)


def trained(problem, recipes, steps, graph=False):
    """Weights and counts of a cohort after some steps, in portions of a rung."""
    members = [Member(k, one, k) for k, one in enumerate(recipes)]
    for member in members:
        member.begin(problem)
    cohort, before = Cohort(problem, members), problem.queries
    if graph and cohort.graphed is None:
        cohort.graphed = OnTheHost(cohort._step, cohort._counts, 100)
        cohort.graphed.written = lambda: [cohort.flat, cohort.first, cohort.second, cohort.level]
    for count in (30, steps - 30):
        cohort.run(count)
    cohort.evaluate(members)
    return cohort, problem.queries - before


RECIPES = {
    "direct": [recipe(PAPER, steps=250), recipe(PAPER, steps=250, bound={"kind": "clip", "threshold": 0.3})],
    "sobolev": [recipe(PAPER, steps=250, loss={"kind": "sobolev"})],
    "adaptive": [recipe(PAPER, steps=250, bound={"kind": "clip", "threshold": 1.5, "adaptive": True})],
    "prior": [recipe(RANDOM, steps=250), recipe(RANDOM, steps=250, student={"width": 9})],
}


@pytest.mark.parametrize("recipes", RECIPES.values(), ids=RECIPES)
def test_a_replayed_cohort_ends_where_a_stepped_one_does(recipes, on_the_host):
    problems = (make_problem(outputs=2, quick=True) for _ in range(2))
    (one, asked), (other, also) = (trained(problem, recipes, 230, k == 1) for k, problem in enumerate(problems))
    assert other.graphed._graph is not None
    torch.testing.assert_close(one.flat, other.flat, rtol=0, atol=0)
    assert asked == also
    for a, b in zip(one.members, other.members, strict=True):
        assert (a.clock, a.teacher_rows, a.curve, a.synthesis) == (b.clock, b.teacher_rows, b.curve, b.synthesis)


def test_a_cohort_that_ends_early_is_not_recorded(on_the_host):
    taken = []
    steps = OnTheHost(lambda plan: taken.append(float(plan)), list, 5)
    steps.written = list
    assert [steps.run([torch.ones(5, 1)], 5) for _ in range(WARM // 5)] == [0] * (WARM // 5)
    assert not taken
    assert steps.run([torch.arange(5.0)[:, None]], 3) == 3
    assert taken[1:] == [0.0, 1.0, 2.0]  # the first is the recording


def test_a_step_that_cannot_be_recorded_is_taken_one_by_one(on_the_host, caplog):
    def step(plan):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    steps = GraphedSteps(step, list, WARM)
    with caplog.at_level("INFO", logger=cuda_graph.__name__):
        assert [steps.run([torch.ones(WARM, 1)], WARM) for _ in range(3)] == [0, 0, 0]
    assert [record.message for record in caplog.records] == [
        "steps are started one by one: operation not permitted when stream is capturing"
    ]


@CUDA
@pytest.mark.parametrize("recipes", RECIPES.values(), ids=RECIPES)
def test_a_gpu_ends_where_the_host_does(recipes):
    ends = []
    for device in ("cpu", "cuda"):
        ends.append(trained(make_problem(outputs=2, quick=True, device=device), recipes, 230))
    (one, asked), (other, also) = ends
    assert other.graphed._graph is not None and asked == also
    torch.testing.assert_close(one.flat, other.flat.cpu(), rtol=1e-6, atol=1e-9)
    for a, b in zip(one.members, other.members, strict=True):
        assert (a.clock, a.teacher_rows) == (b.clock, b.teacher_rows)
        assert b.synthesis == pytest.approx(a.synthesis, rel=1e-6, abs=1e-9)
