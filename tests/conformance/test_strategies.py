"""What every strategy of every registry must do, by its mere presence there."""

import dataclasses
import math
import re

import onnx
import pytest
import skops.io
import torch
from sklearn.linear_model import LinearRegression
from teacher_files import ROWS, network

from dfkd_tune import Inputs
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.recipes.mixing import EPOCH
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.testing import bounds, formats, generators, initializers, strategies, students
from dfkd_tune.testing.bounds import GRID
from dfkd_tune.testing.generators import trained_on
from dfkd_tune.testing.problems import draws, make_problem, recipe, run
from dfkd_tune.testing.strategies import LIKE
from dfkd_tune.training.distill import conclude
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity
from dfkd_tune.utils.strategy import Stacked

STUDENTS, GENERATORS, GAP_BOUNDS = SECTIONS["student"], SECTIONS["generator"], SECTIONS["bound"]
INPUT_BOUNDS, ALPHAS, OPTIMIZERS = SECTIONS["input_bound"], SECTIONS["alpha"], SECTIONS["optimizer"]
STRATEGIES = [
    pytest.param(section, kind, id=f"{section}-{kind}") for section, kinds in SECTIONS.items() for kind in kinds
]


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("law", strategies.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("section, kind", STRATEGIES)
def test_strategy(section, kind, law):
    law(section, kind)


@pytest.mark.parametrize("law", generators.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", GENERATORS)
def test_generator(kind, law):
    law(kind)


@pytest.mark.parametrize("law", bounds.GAP_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", GAP_BOUNDS)
def test_gap_bound(kind, law):
    law(kind)


@pytest.mark.parametrize("law", bounds.INPUT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", INPUT_BOUNDS)
def test_input_bound(kind, law):
    law(kind)


@pytest.mark.parametrize("law", students.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", STUDENTS)
def test_student(kind, law):
    law(kind)


@pytest.mark.parametrize("law", initializers.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", SECTIONS["initializer"])
def test_initializer(kind, law):
    law(kind)


@pytest.mark.parametrize("law", formats.EXPORT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", EXPORTS)
def test_export(kind, law):
    law(kind)


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt", "net.onnx", "net.skops"])
def test_teacher_format(name, files, tmp_path):
    folder, parts, answers = files["net.pt2"].parent, [], network().eval()
    if name == "net.onnx":
        folder = tmp_path
        batch = {"x": {0: "batch"}}
        torch.onnx.export(answers, (ROWS[:2],), folder / name, dynamo=False, input_names=["x"], dynamic_axes=batch)
        onnx.save_model(
            onnx.load(folder / name), folder / name, save_as_external_data=True, location="data", size_threshold=0
        )
        parts = [folder / "data"]
    if name == "net.skops":
        folder = tmp_path
        fitted = LinearRegression().fit(ROWS.numpy(), ROWS.numpy() @ [[1.0], [2.0], [-1.0]])
        skops.io.dump(fitted, folder / name)
        answers = Fitted(fitted)
    described = folder / "architecture.yaml" if name in ("net.safetensors", "state.pt") else None
    formats.check_teacher_format(folder / name, answers, 3, parts, described)


class Fitted(torch.nn.Module):
    """An estimator as a module."""

    def __init__(self, fitted: LinearRegression):
        super().__init__()
        self.fitted = fitted

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.fitted.predict(x.numpy()))


@pytest.mark.parametrize("kind", SECTIONS["refiner"])
def test_finish_makes_nothing_worse(kind, problem):
    (member,) = run(problem, Member("a", recipe(refiner=SECTIONS["refiner"][kind]()), 0))
    before = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    conclude(problem, member, 0.0)
    after = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    assert after == before if kind == "none" else after < before


@pytest.mark.parametrize("kind", GAP_BOUNDS)
def test_reward_is_what_the_docstring_says(kind):
    goal, formula = re.search(r"(maximize|minimize) ``([^`]+)``", GAP_BOUNDS[kind].__doc__).groups()
    formula = re.sub(r"(?<=[\w)]) (?=[a-z])", " * ", formula.replace("|gap|", "abs(gap)")).replace("^", "**")
    known = {"min": min, "max": max, "abs": abs, "log": math.log, "tanh": math.tanh}
    own = {field.name: getattr(GAP_BOUNDS[kind](), field.name) for field in dataclasses.fields(GAP_BOUNDS[kind])}
    expected = [eval(formula, known | own, {"gap": gap}) for gap in GRID.tolist()]
    reward = GAP_BOUNDS[kind].reward(Stacked([GAP_BOUNDS[kind]()], LIKE), GRID.view(1, -1, 1)).flatten()
    assert reward.tolist() == pytest.approx([x if goal == "maximize" else -x for x in expected], abs=1e-12)


def travel_of(kind, x, origin, item, problem):
    """How far rows went, in units of what the bound allows."""
    root = math.sqrt(x.shape[-1])
    if kind == "linf":
        return (x - origin).abs().amax(-1) / item.radius
    if kind == "l2":
        return (x - origin).norm(dim=-1) / (item.radius * root)
    if kind == "box":
        return x.abs().amax(-1) / item.reach
    if kind == "mahalanobis":
        precision = torch.linalg.inv(torch.cov(problem.pool.z.T))
        return torch.einsum("...d,de,...e->...", x, precision, x).sqrt() / (item.radius * root)
    return (x - origin).abs().amax(-1) / 2.0  # two cold RMSprop steps of 0.1 travel less than 1 each


@pytest.mark.parametrize("kind", INPUT_BOUNDS)
class TestInputBounds:
    def test_holds_what_travels(self, kind):
        problem, item = make_problem(inputs=Inputs.unknown(5)), INPUT_BOUNDS[kind]()
        step_size = 0.1 if kind == "steps" else 3.0
        one = recipe(generator={"step_size": step_size, "decay": 0.0}, input_bound=kind)
        synthetic, _, _, _, origin = trained_on(problem, one)
        travel = travel_of(kind, synthetic, origin, item, problem)
        assert 0.8 < travel.max() <= 1 + 1e-5


@pytest.mark.parametrize("kind", ALPHAS)
@pytest.mark.parametrize("steps", [1, 9, 10, 200, 20_000])
def test_alpha_is_a_share_that_moves_once_an_epoch(kind, steps):
    values = [ALPHAS[kind]().at(step, steps) for step in range(steps)]
    assert all(0 <= value <= 1 for value in values)
    assert all(len(set(values[i : i + EPOCH])) == 1 for i in range(0, steps, EPOCH))
    assert values in (sorted(values), sorted(values, reverse=True))


@pytest.mark.parametrize(
    "kind, first, last", [("constant", 0.5, 0.5), ("decreasing", 0.95, 0.0), ("increasing", 0.05, 1)]
)
def test_alpha_starts_and_ends_as_published(kind, first, last):
    assert ALPHAS[kind]().at(0, 200) == pytest.approx(first) and ALPHAS[kind]().at(199, 200) == last


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizer_is_that_of_torch(kind, schedule, problem):
    name, options = {
        "rmsprop": ("RMSprop", {"alpha": 0.9}),
        "adam": ("Adam", {"betas": (0.8, 0.99)}),
    }[kind]
    own = {"rmsprop": {"smoothing": 0.9}, "adam": {"beta1": 0.8, "beta2": 0.99}}[kind]
    chosen = {"kind": kind, "lr": 0.01, "weight_decay": 0.01, "schedule": schedule, **own}
    member = Member("a", recipe(RANDOM, optimizer=chosen), 0)
    member.begin(problem)
    index, weights = draws(problem, member), [w.clone().requires_grad_() for w in member.weights]
    optimizer = getattr(torch.optim, name)(weights, lr=0.01, weight_decay=0.01, **options)
    bend = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30) if schedule == "cosine" else None
    for _ in range(30):
        z, values = problem.pool.rows(next(index)[None])
        optimizer.zero_grad()
        (
            member.recipe.student.answer([w[None] for w in weights], z, problem.columns) - values
        ).square().mean().backward()
        optimizer.step()
        if bend:
            bend.step()
    run(problem, member)
    for mine, theirs in zip(member.weights, weights, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_zero_and_knows_its_derivative(name):
    """Without ``f(0) = 0`` a padded hidden unit would wake up."""
    z = torch.linspace(-9, 9, 101, dtype=torch.float64) + 1e-3
    activation = ACTIVATIONS[name]
    assert activation.value(torch.zeros(1)) == 0 and activation.both(torch.zeros(1))[0] == 0
    scaled = activation.factor * z
    value, derivative = activation.both(scaled.clone())
    expected = activation.module()(z.requires_grad_())
    (gradient,) = torch.autograd.grad(expected.sum(), z, create_graph=True)
    (bend,) = torch.autograd.grad(gradient.sum(), z) if gradient.requires_grad else (torch.zeros_like(z),)
    curve = activation.curve(scaled, value, derivative)
    for mine, theirs in (
        (value, expected),
        (activation.value(scaled.clone()), expected),
        (derivative, gradient),
        (curve, bend),
    ):
        torch.testing.assert_close(mine.detach(), theirs.detach(), rtol=1e-9, atol=1e-12)
