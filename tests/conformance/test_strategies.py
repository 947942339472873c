"""What every strategy of every registry must do, by its mere presence there."""

import dataclasses
import math
import re
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest
import torch
from problems import FEATURES, KNOWN, batches, draws, make_problem, network, recipe, run, variants

from dfkd_tune import Inputs
from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.recipes.mixing import EPOCH
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.recipes.recipe import SECTIONS, Recipe, from_leaves, from_tree
from dfkd_tune.students.sobolev import loss_and_gradients
from dfkd_tune.training.distill import conclude, distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.strategy import Stacked, structure

STUDENTS, GENERATORS, GAP_BOUNDS = SECTIONS["student"], SECTIONS["generator"], SECTIONS["bound"]
INPUT_BOUNDS, ALPHAS, OPTIMIZERS = SECTIONS["input_bound"], SECTIONS["alpha"], SECTIONS["optimizer"]
TEACHER_DEFAULTS = [
    pytest.param(section, kind, id=f"{section}-{kind}") for section, kinds in SECTIONS.items() for kind in kinds
]
LIKE = torch.zeros(1, dtype=torch.float64)


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("section, kind", TEACHER_DEFAULTS)
class TestEveryKind:
    def test_is_a_frozen_dataclass_with_defaults(self, section, kind):
        item = SECTIONS[section][kind]()
        assert dataclasses.is_dataclass(item) and item == SECTIONS[section][kind]()
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, next((f.name for f in dataclasses.fields(item)), "anything"), 1)

    def test_round_trips(self, section, kind):
        for item in variants(SECTIONS[section][kind]):
            one = Recipe(**{section: item})
            tree = yaml_io.parse(yaml_io.dump(one.tree()), "here", SpecError)
            assert from_tree(tree) == one == from_leaves(one.leaves())
            assert one.leaves()[f"{section}.kind"] == kind

    def test_refuses_what_it_does_not_know(self, section, kind):
        known = ", ".join(field.name for field in dataclasses.fields(SECTIONS[section][kind])) or "none"
        expected = f"here.{section}.colour: unknown key; known keys: {known}"
        with pytest.raises(SpecError, match=f"^{re.escape(expected)}$"):
            from_tree({section: {"kind": kind, "colour": 1}}, "here")

    def test_refuses_wrong_types(self, section, kind):
        for name, hint in get_type_hints(SECTIONS[section][kind]).items():
            if name not in {field.name for field in dataclasses.fields(SECTIONS[section][kind])}:
                continue
            options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
            wrong = [{}, [1]]
            wrong += ["a word", "1", True, math.nan, math.inf] if {int, float} & {*options} else [3]
            wrong += [] if float in options else [1.5]
            for value in wrong:
                with pytest.raises(SpecError) as caught:
                    from_tree({section: {"kind": kind, name: value}}, "here")
                assert str(caught.value).startswith(f"here.{section}.{name}") and "\n" not in str(caught.value)

    def test_floats_are_no_structure(self, section, kind):
        """Members that differ in floats alone share a batched pass, which reads each one's own."""
        cls = SECTIONS[section][kind]
        floats = [name for name, hint in get_type_hints(cls).items() if hint is float]
        one = cls()
        other = dataclasses.replace(one, **{name: math.nextafter(getattr(one, name), math.inf) for name in floats})
        assert structure(one) == structure(other) and (one != other or not floats)
        stacked = Stacked([one, other], LIKE)
        for name in floats:
            assert getattr(stacked, name).tolist() == [[[getattr(one, name)]], [[getattr(other, name)]]]

    def test_distills(self, section, kind):
        problem = make_problem(outputs=2, inputs=KNOWN)
        for item in map(brief, variants(SECTIONS[section][kind])):
            outcome = distill(problem, recipe(**{section: item}), seed=0)
            assert outcome.failure is None and all(map(math.isfinite, outcome.selection.by_output))
            assert all(math.isfinite(value) for _, value in outcome.curve) and outcome.curve
            assert 0 < outcome.selection.nrmse < 1.5  # answering the teacher's mean has 1


def brief(item):
    """The same strategy with less to do, where it says how much it does."""
    known = {field.name for field in dataclasses.fields(item)}
    return dataclasses.replace(item, **{"iterations": 20} if "iterations" in known else {})


@pytest.mark.parametrize("kind", SECTIONS["finish"])
def test_finish_makes_nothing_worse(kind, problem):
    (member,) = run(problem, Member("a", recipe(finish=brief(SECTIONS["finish"][kind]())), 0))
    before = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    conclude(problem, member, 0.0)
    after = fidelity(problem, member.recipe, member.result(), problem.banks["pruning"]).nrmse
    assert after == before if kind == "none" else after < before


def trained_on(monkeypatch, problem, one, seed=0):
    """Synthetic and prior halves of every batch ``(steps, batch / 2, D)``, their gaps likewise, and where they started."""
    member = Member("a", one, seed)
    member.begin(problem)
    index = draws(problem, member)
    start = torch.stack([next(index) for _ in range(one.steps)])[:, : one.batch // 2]
    x, gap = (torch.stack(parts) for parts in zip(*batches(monkeypatch, problem, member), strict=True))
    assert x.shape == (one.steps, one.batch, problem.features)
    return *x.chunk(2, dim=1), *gap.chunk(2, dim=1), problem.pool.z[start]


@pytest.mark.parametrize("kind", GENERATORS)
class TestGenerators:
    def test_rows_are_finite_and_within_what_is_declared(self, kind, monkeypatch):
        problem = make_problem(inputs=KNOWN)
        one = recipe(generator=kind, steps=20, batch=40)
        if GENERATORS[kind].starts_from_prior:
            one = recipe(one, generator={"step_size": 5.0})
        synthetic = trained_on(monkeypatch, problem, one)[0] * KNOWN.scale + KNOWN.center
        assert torch.isfinite(synthetic).all()
        assert synthetic[..., 1].min() >= -1 - 1e-9 and synthetic[..., 1].max() <= 2 + 1e-9
        levels = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
        assert (synthetic[..., 2:3] - levels).abs().amin(-1).max() < 1e-9
        assert len(synthetic[:, :, 0].unique()) > 20  # not one row over and over

    def test_seeking_reaches_larger_gaps(self, kind, monkeypatch):
        """Against a student that hardly moves, and only where the generator says that it seeks."""
        problem = make_problem()
        one = recipe(generator=kind, optimizer={"lr": 1e-12, "weight_decay": 0.0}, steps=100, batch=40)
        _, _, gap, prior_gap, _ = trained_on(monkeypatch, problem, one)
        reached = gap[-25:].square().mean() / prior_gap.square().mean()
        assert (reached > 2) if GENERATORS[kind].uses_gap else (0.5 < reached < 2)


@pytest.mark.parametrize("kind", [name for name, kind in GENERATORS.items() if not kind.needs_gradients])
def test_teacher_without_gradients_will_do(kind):
    teacher = network()
    problem = make_problem(lambda x: torch.from_numpy(teacher(x).detach().numpy().copy()))
    assert not problem.probe.differentiable
    (member,) = run(problem, Member("a", recipe(generator=kind), 0))
    assert member.failure is None and member.curve[-1][1] < member.curve[0][1]


@pytest.mark.parametrize("kind", [name for name, kind in GENERATORS.items() if kind.starts_from_prior])
def test_traveling_starts_at_the_drawn_rows(kind, monkeypatch):
    one = recipe(generator={"kind": kind, "step_size": 1e-9, "decay": 0.0})
    synthetic, _, _, _, origin = trained_on(monkeypatch, make_problem(), one)
    torch.testing.assert_close(synthetic, origin, rtol=0, atol=1e-6)
    assert not torch.equal(synthetic, origin)


@pytest.mark.parametrize("kind", GAP_BOUNDS)
class TestBounds:
    GRID = torch.linspace(-3, 3, 241, dtype=torch.float64) + 1e-3  # beside the kinks

    def test_reward_is_what_the_docstring_says(self, kind):
        goal, formula = re.search(r"(maximize|minimize) ``([^`]+)``", GAP_BOUNDS[kind].__doc__).groups()
        formula = re.sub(r"(?<=[\w)]) (?=[a-z])", " * ", formula.replace("|gap|", "abs(gap)")).replace("^", "**")
        known = {"min": min, "max": max, "abs": abs, "log": math.log, "tanh": math.tanh}
        own = {field.name: getattr(GAP_BOUNDS[kind](), field.name) for field in dataclasses.fields(GAP_BOUNDS[kind])}
        expected = [eval(formula, known | own, {"gap": gap}) for gap in self.GRID.tolist()]
        reward = GAP_BOUNDS[kind].reward(Stacked([GAP_BOUNDS[kind]()], LIKE), self.GRID.view(1, -1, 1)).flatten()
        assert reward.tolist() == pytest.approx([x if goal == "maximize" else -x for x in expected], abs=1e-12)

    def test_gradient_is_the_derivative_of_the_reward(self, kind):
        gap = self.GRID.view(1, -1, 1).requires_grad_()
        h = Stacked([GAP_BOUNDS[kind]()], LIKE)
        (expected,) = torch.autograd.grad(GAP_BOUNDS[kind].reward(h, gap).sum(), gap)
        torch.testing.assert_close(GAP_BOUNDS[kind].gradient(h, gap.detach()), expected, rtol=1e-12, atol=1e-12)

    def test_sign_of_the_gap_does_not_matter(self, kind):
        gap, h = self.GRID.view(1, -1, 1), Stacked([GAP_BOUNDS[kind]()], LIKE)
        assert torch.equal(GAP_BOUNDS[kind].reward(h, gap), GAP_BOUNDS[kind].reward(h, -gap))
        assert torch.equal(GAP_BOUNDS[kind].gradient(h, gap), -GAP_BOUNDS[kind].gradient(h, -gap))

    def test_small_gaps_are_worth_enlarging(self, kind):
        gap = torch.linspace(0.01, 0.4, 20, dtype=torch.float64).view(1, -1, 1)
        assert (GAP_BOUNDS[kind].gradient(Stacked([GAP_BOUNDS[kind]()], LIKE), gap) > 0).all()


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
    def test_holds_what_travels(self, kind, monkeypatch):
        problem, item = make_problem(inputs=Inputs.unknown(5)), INPUT_BOUNDS[kind]()
        step_size = 0.1 if kind == "steps" else 3.0
        one = recipe(generator={"step_size": step_size, "decay": 0.0}, input_bound=kind)
        synthetic, _, _, _, origin = trained_on(monkeypatch, problem, one)
        travel = travel_of(kind, synthetic, origin, item, problem)
        assert 0.8 < travel.max() <= 1 + 1e-5

    def test_twice_is_once_and_the_origin_is_free(self, kind):
        problem = make_problem()
        h, origin = Stacked([INPUT_BOUNDS[kind]()], LIKE), problem.pool.z[None, :50].clamp(-0.8, 0.8)
        x = origin + 5 * problem.pool.z[None, 50:100]
        once = INPUT_BOUNDS[kind].contain(h, x, origin, problem.geometry)
        twice = INPUT_BOUNDS[kind].contain(h, once, origin, problem.geometry)
        torch.testing.assert_close(once, twice, rtol=1e-12, atol=1e-12)
        assert torch.equal(INPUT_BOUNDS[kind].contain(h, origin, origin, problem.geometry), origin)


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
        (member.recipe.student.answer([w[None] for w in weights], z) - values).square().mean().backward()
        optimizer.step()
        if bend:
            bend.step()
    run(problem, member)
    for mine, theirs in zip(member.weights, weights, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-10, atol=1e-12)


def sizes_of(kind):
    """Every variant of a student, and small and deep ones of those that can be."""
    for item in variants(STUDENTS[kind]):
        for changes in ({"width": 5}, {"width": 3, "depth": 3}):
            known = {field.name for field in dataclasses.fields(item)}
            yield dataclasses.replace(item, **{name: value for name, value in changes.items() if name in known})


@pytest.mark.parametrize("kind", STUDENTS)
class TestStudents:
    SIZE = (FEATURES, 2)

    def made(self, kind):
        """Students, weights of three members stacked, and rows."""
        rng = torch.Generator().manual_seed(0)
        for student in sizes_of(kind):
            every = [student.init_params(*self.SIZE, rng, torch.float64) for _ in range(3)]
            assert [tuple(w.shape) for w in every[0]] == student.shapes(*self.SIZE)
            assert sum(w.numel() for w in every[0]) == student.parameters(*self.SIZE)
            weights = [torch.stack(layer).requires_grad_() for layer in zip(*every, strict=True)]
            yield student, weights, torch.randn(3, 7, FEATURES, generator=rng, dtype=torch.float64)

    def test_gradients_are_those_of_autograd(self, kind):
        for student, weights, x in self.made(kind):
            x.requires_grad_()
            answers = student.answer(weights, x)
            gradient = torch.cos(answers).detach()
            expected = torch.autograd.grad((gradient * answers).sum(), [*weights, x])
            plain = [w.detach() for w in weights]
            recorded, tape = student.forward_with_tape(plain, x.detach())
            torch.testing.assert_close(recorded, answers.detach(), rtol=1e-12, atol=1e-12)
            found = [*student.weight_gradients(plain, tape, gradient), student.input_gradients(plain, tape, gradient)]
            for mine, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)

    def test_input_gradients_can_be_trained_on(self, kind):
        """``outputs_and_gradients`` has the input gradients, and both have the right gradients in the weights."""
        for student, weights, x in self.made(kind):
            x.requires_grad_()
            expected = student.answer(weights, x)
            rows = [torch.autograd.grad(expected[..., o].sum(), x, create_graph=True)[0] for o in range(2)]
            answers, gradients = student.outputs_and_gradients(weights, x.detach())
            torch.testing.assert_close(answers, expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradients, torch.stack(rows, dim=2), rtol=1e-10, atol=1e-12)
            losses = (answers.sin().sum() + gradients.cos().sum(), expected.sin().sum() + torch.stack(rows).cos().sum())
            for mine, theirs in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("matched", [False, True], ids=["answers", "slopes"])
    def test_the_loss_has_the_right_gradient(self, kind, matched):
        """``match`` against autograd through the loss as the paper writes it, each row and member with a weight of its own."""
        rng = torch.Generator().manual_seed(8)
        for student, weights, x in self.made(kind):
            answers, found = student.outputs_and_gradients(weights, x.detach())
            values, gradients = (torch.randn(part.shape, generator=rng, dtype=part.dtype) for part in (answers, found))
            share = torch.rand(*x.shape[:2], 1, generator=rng, dtype=x.dtype)
            weight = torch.tensor([0.0, 0.7, 2.0], dtype=x.dtype).view(-1, 1, 1)
            rows = (answers - values).square().mean(-1, True)
            if matched:
                rows = rows + weight * (found - gradients).square().sum(-1).mean(-1, True)
            expected = (rows * share).sum((1, 2))
            plain = [w.detach() for w in weights]
            mine = loss_and_gradients(student, plain, x.detach(), values, gradients if matched else None, share, weight)
            torch.testing.assert_close(mine.answers, answers.detach(), rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(mine.loss(), expected.detach(), rtol=1e-10, atol=1e-12)
            for ours, theirs in zip(mine.gradients, torch.autograd.grad(expected.sum(), weights), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)

    def test_members_answer_for_themselves(self, kind):
        for student, weights, x in self.made(kind):
            alone = [student.answer([w[k : k + 1] for w in weights], x[k : k + 1]) for k in range(3)]
            torch.testing.assert_close(student.answer(weights, x), torch.cat(alone), rtol=1e-12, atol=1e-12)

    def test_ships_as_a_module_between_raw_units(self, kind):
        units = ([1.0, -2.0, 0.0, 9.0], [2.0, 0.5, 1.0, 3.0], [7.0, -1.0], [0.1, 40.0])
        center, scale, shift, spread = (torch.tensor(unit, dtype=torch.float64) for unit in units)
        encoding = Encoding(*units[:2])
        for student, weights, x in self.made(kind):
            module = student.module([w[0].detach() for w in weights], encoding, shift, spread)
            assert sum(p.numel() for p in module.parameters()) == student.parameters(*self.SIZE)
            expected = shift + spread * student.answer(weights, x)[0]
            answers = module((center + scale * x[0]).float())
            torch.testing.assert_close(answers.detach(), expected.detach().float(), rtol=1e-4, atol=1e-4)

    def test_widest_is_the_most_that_fits(self, kind):
        for student in sizes_of(kind):
            for limit in (1, 57, 1151, 9999):
                width = student.widest(*self.SIZE, limit)
                if hasattr(student, "width"):
                    next_up = dataclasses.replace(student, width=width + 1)
                    assert next_up.parameters(*self.SIZE) > limit
                    student = dataclasses.replace(student, width=max(1, width))
                assert (student.parameters(*self.SIZE) <= limit) == (width >= 1)


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
