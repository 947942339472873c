"""The stress bank: frozen by its seed, apart from the other banks, within what is declared, and harder than prior rows."""

import math
import time
from dataclasses import replace

import pytest
import torch

from dfkd_tune import Feature, Inputs
from dfkd_tune.errors import Interrupted
from dfkd_tune.evaluation.stress_bank import (
    CENTER,
    OUT,
    PANEL,
    RADIUS,
    REFERENCE_FRACTION,
    add_stress,
    reference_students,
    stress_bank,
)
from dfkd_tune.recipes.optimizers import RMSprop
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.study.session import run_study
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, KNOWN, Counting, make_problem, network, recipe
from dfkd_tune.training.banks import Bank
from dfkd_tune.training.distill import distill
from dfkd_tune.training.population import fidelity
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.seeding import derive

pytestmark = pytest.mark.usefixtures("undrawn")

LIKE = recipe(steps=400)
SHARES = Inputs([Feature(name=f"share {i}", mean=0.25, std=0.19) for i in range(3)] + [Feature(name="free")], range(3))
CLOSE = Inputs(
    [Feature(name="many", levels=[i / 10 for i in range(40)]), Feature(name="whole", range=[0, 90], integer=True)]
)
QUANTILES = Inputs(
    [
        Feature(name="free"),
        Feature(name="quantiles", quantiles={0.05: -2.0, 0.5: 0.0, 0.95: 3.0}),
        Feature(name="ranged", range=[0.0, 1.0]),
        Feature(name="moments", mean=3.0, std=2.0),
    ]
)


def black_box(outputs=1):
    """A teacher without input gradients."""
    function = network(outputs)
    return lambda x: function(x.detach())


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.fixture(scope="module")
def panel(problem):
    return reference_students(problem, LIKE)


def origin_of(problem):
    """The outlying prior rows that the bank was moved from, standardized."""
    return stress_bank(problem, []).z


def prior_of(problem):
    return stress_bank(problem, [], far=False).z


def mean_gap(problem, panel, z):
    """Root of the mean squared normalized gap of a panel over rows, each student on the part that it moved."""
    values, total = problem.answer_in_chunks(z), 0.0
    for student, part, known in zip(panel, z.tensor_split(len(panel)), values.tensor_split(len(panel)), strict=True):
        bank = Bank(part, known, problem.spread)
        total += fidelity(problem, student.recipe, student.weights, bank).nrmse ** 2 * len(part)
    return math.sqrt(total / len(z))


def test_the_seed_decides(problem, panel):
    add_stress(problem, LIKE)
    again, other = make_problem(), make_problem()
    add_stress(again, LIKE)
    assert torch.equal(problem.banks["stress"].z, again.banks["stress"].z)
    assert torch.equal(problem.banks["stress"].values, again.banks["stress"].values)
    other.seed = 1
    add_stress(other, LIKE)
    assert not torch.equal(problem.banks["stress"].z, other.banks["stress"].z)


def test_it_is_apart_from_everything_else(problem, panel):
    """No row of it, moved or not, is one that a student trains on or is judged by elsewhere."""
    others = [bank.z for name, bank in problem.banks.items() if name != "stress"] + [problem.pool.z]
    for z in (prior_of(problem), origin_of(problem), stress_bank(problem, panel).z):
        assert len(z) == len(problem.banks["selection"].z)
        for other in others:
            assert float(torch.cdist(z, other).min()) > 1e-6


def test_the_panel_is_no_trial(problem, panel):
    names = PANEL[True]
    assert [outcome.seed for outcome in panel] == [derive(problem.seed, "panel", name) for name in names]
    for outcome, name in zip(panel, names, strict=True):
        assert outcome.recipe.generator == PRESETS[name].generator
        assert outcome.recipe.student == LIKE.student
        assert (outcome.recipe.steps, outcome.recipe.batch) == (REFERENCE_FRACTION * LIKE.steps, LIKE.batch)


def partly_declared(shallow: bool) -> Problem:
    """Of a teacher whose first and last feature have unknown tails."""
    teacher = Teacher("tiny", network(), torch.float64, "sha")
    sizes = {"pool_rows": 100, "bank_rows": 4_000, "dtype": torch.float64}
    return Problem(teacher, QUANTILES, replace(probe(teacher, QUANTILES), neurons=8 * shallow), **sizes)


def test_a_deep_teacher_gets_rows_skewed_where_tails_are_unknown():
    problem = partly_declared(shallow=False)
    prior, origin = prior_of(problem), origin_of(problem)
    torch.testing.assert_close(origin[:, 1:3], prior[:, 1:3])
    for column in origin[:, [0, 3]].T:
        assert float(column.median()) < -0.1 and float(column.pow(3).mean()) > 2
        assert float(column.std()) == pytest.approx(1, abs=0.3)


def test_one_feature_of_unknown_tails_is_far_out():
    wide = partly_declared(shallow=True)
    prior, origin = prior_of(wide), origin_of(wide)
    near = torch.isclose(origin, CENTER * prior)
    assert bool((near[:, 0] | near[:, 3]).all())
    far = torch.where(near[:, 0], origin[:, 3], origin[:, 0]).abs()
    assert OUT[0] <= float(far.min()) < float(far.max()) <= OUT[1]
    assert 0.4 < near[:, 0].double().mean() < 0.6


def test_where_every_tail_is_declared_rows_are_prior_rows():
    problem = make_problem(network(features=len(CLOSE)), inputs=CLOSE)
    assert torch.equal(origin_of(problem), prior_of(problem))


@pytest.mark.parametrize("differentiable", [True, False], ids=["gradients", "black box"])
@pytest.mark.parametrize(
    "inputs", [None, KNOWN, SHARES, CLOSE, QUANTILES], ids=["free", "known", "simplex", "close", "T3"]
)
def test_rows_stay_near_and_within_what_is_declared(inputs, differentiable):
    width = len(inputs or Inputs.unknown(FEATURES))
    function = network(features=width)
    problem = make_problem(function if differentiable else lambda x: function(x.detach()), inputs=inputs)
    assert problem.probe.differentiable == differentiable
    add_stress(problem, recipe(steps=100))
    z, origin = problem.banks["stress"].z, origin_of(problem)
    assert float((z - origin).abs().max()) <= RADIUS * (1 + 1e-3)
    torch.testing.assert_close(problem.inputs.project(z.clone()), z)
    assert (z != origin).any(1).float().mean() > 0.05
    torch.testing.assert_close(problem.banks["stress"].values, problem.answer(z))


@pytest.mark.parametrize("radius", [RADIUS, 0.34])
@pytest.mark.parametrize("far", [True, False])
def test_the_panel_does_worse_where_rows_were_moved(problem, panel, radius, far):
    still = stress_bank(problem, [], far=far).z
    moved = stress_bank(problem, panel, radius, far).z
    assert mean_gap(problem, panel, moved) > 1.1 * mean_gap(problem, panel, still)


def test_a_black_box_is_only_asked():
    teacher = Counting(black_box())
    problem = make_problem(teacher)
    panel = reference_students(problem, LIKE)
    assert [type(one.recipe.generator).__name__ for one in panel] == ["Gaussian", "Skewed"]
    before = teacher.rows
    moved = stress_bank(problem, panel).z
    assert teacher.rows - before == 9 * len(moved)  # eight tries, and the answers
    assert mean_gap(problem, panel, moved) > mean_gap(problem, panel, origin_of(problem))


def test_several_outputs():
    problem = make_problem(outputs=3)
    add_stress(problem, LIKE)
    bank = problem.banks["stress"]
    assert bank.values.shape == (len(bank.z), 3)
    outcome = distill(problem, LIKE, seed=1)
    assert len(outcome.stress.by_output) == 3
    assert outcome.robust == pytest.approx(outcome.selection.nrmse**0.25 * outcome.stress.nrmse**0.75)
    assert outcome.objective("robust") == outcome.robust
    assert outcome.objective("nrmse") == outcome.selection.nrmse
    assert outcome.metrics().keys() >= {"stress_rmse", "stress/nrmse", "robust"}


@pytest.mark.parametrize("lost", [1, len(PANEL[True])])
def test_reference_students_that_diverge_are_left_out(problem, monkeypatch, lost):
    wild = {name: recipe(PRESETS[name], optimizer=RMSprop(lr=1e200)) for name in PANEL[True][:lost]}
    monkeypatch.setattr("dfkd_tune.evaluation.stress_bank.PRESETS", PRESETS | wild)
    panel = reference_students(problem, LIKE)
    assert len(panel) == len(PANEL[True]) - lost
    bank = stress_bank(problem, panel)
    assert len(bank.z) == len(problem.banks["selection"].z)
    assert bank.z.isfinite().all() and bank.values.isfinite().all()
    if not panel:
        assert torch.equal(bank.z, origin_of(problem))


def test_a_teacher_that_overflows_far_out_is_asked_nearer():
    """Finite on every prior row, infinite where tails are heavy."""
    function = network()
    problem = make_problem(lambda x: torch.where((x.abs() > 4.5).any(1, keepdim=True), torch.inf, function(x)))
    prior = prior_of(problem)
    assert problem.answer(prior).isfinite().all()
    add_stress(problem, LIKE)
    bank = problem.banks["stress"]
    assert bank.z.isfinite().all() and bank.values.isfinite().all()
    kept = (bank.z == prior).all(1)
    assert kept.any() and not kept.all()
    assert math.isfinite(distill(problem, recipe(PRESETS["random"]), seed=1).robust)


def test_a_student_without_a_finite_fidelity_has_diverged():
    problem = make_problem()
    bank = problem.banks["selection"]
    problem.banks["stress"] = Bank(bank.z, bank.values / 0, bank.spread)
    outcome = distill(problem, recipe(), seed=1)
    assert outcome.failure == "diverged: the RMSE is inf on the stress bank"
    assert outcome.selection is None and outcome.stress is None


def test_a_panel_can_be_interrupted(problem):
    def stop(member):
        raise Interrupted("tiny")

    with pytest.raises(Interrupted):
        add_stress(make_problem(), LIKE, stop)


def test_a_resume_has_the_same_bank_at_little_cost(store, tiny, monkeypatch):
    banks, seconds = [], []

    def watched(problem, *given):
        start = time.perf_counter()
        add_stress(problem, *given)
        seconds.append(time.perf_counter() - start)
        banks.append(problem.banks["stress"])

    monkeypatch.setattr("dfkd_tune.study.prepare.add_stress", watched)
    start = time.perf_counter()
    for trials in (2, 2, 3):
        run_study(tiny("stressed", trials=trials), store.storage, store.tracking)
    assert sum(seconds) < 0.3 * (time.perf_counter() - start)
    for bank in banks[1:]:
        assert torch.equal(bank.z, banks[0].z) and torch.equal(bank.values, banks[0].values)


def test_an_outcome_without_the_bank_has_no_stress():
    outcome = distill(make_problem(), LIKE, seed=1)
    assert outcome.stress is None
    assert "robust" not in outcome.metrics()
