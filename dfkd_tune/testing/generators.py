"""Conformance tests of generators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from dfkd_tune.generators.base import BlockGenerator, StepGenerator
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.testing.laws import check_laws
from dfkd_tune.testing.problems import FEATURES, KNOWN, batches, draws, make_problem, network, recipe, rng, run
from dfkd_tune.testing.strategies import check_strategy
from dfkd_tune.training.member import Member
from dfkd_tune.training.problem import Problem


def check_generator(kind: str) -> None:
    """Check every law of a generator, given its name, including the laws of any strategy."""
    check_strategy("generator", kind)
    check_laws(LAWS, kind)


def _fields(kind: str) -> set[str]:
    return {field.name for field in dataclasses.fields(SECTIONS["generator"][kind])}


def trained_on(problem: Problem, one: Recipe, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Synthetic and prior halves of every batch, ``(steps, batch / 2, D)`` each, the gaps on both, and the synthetic rows' origins."""
    member = Member("a", one, seed)
    member.begin(problem)
    index = draws(problem, member)
    start = torch.stack([next(index) for _ in range(one.steps)])[:, : one.batch // 2]
    x, gap = (torch.stack(parts) for parts in zip(*batches(problem, member), strict=True))
    assert x.shape == (one.steps, one.batch, problem.features)
    synthetic, prior = x.chunk(2, dim=1)
    of_synthetic, of_prior = gap.chunk(2, dim=1)
    return synthetic, prior, of_synthetic, of_prior, problem.pool.z[start]


def rows_are_finite_and_as_declared(kind: str) -> None:
    """Rows keep to declared ranges and levels for any step size, and rows differ."""
    problem = make_problem(inputs=KNOWN)
    one = recipe(generator=kind, steps=20, batch=40)
    if "step_size" in _fields(kind):
        one = recipe(one, generator={"step_size": 5.0})
    synthetic = trained_on(problem, one)[0] * KNOWN.scale + KNOWN.center
    assert torch.isfinite(synthetic).all()
    assert synthetic[..., 1].min() >= -1 - 1e-9 and synthetic[..., 1].max() <= 2 + 1e-9
    levels = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    assert (synthetic[..., 2:3] - levels).abs().amin(-1).max() < 1e-9
    assert len(synthetic[:, :, 0].unique()) > 20  # not copies of one row


def the_gap_grows_where_it_is_used(kind: str) -> None:
    """The mean squared gap to a nearly fixed student is more than twice that on prior rows if ``uses_gap``, and only then.

    The generator has its default fields, so these must move rows far enough.
    """
    one = recipe(generator=kind, optimizer={"lr": 1e-12, "weight_decay": 0.0}, steps=100, batch=40)
    _, _, gap, prior_gap, _ = trained_on(make_problem(), one)
    reached = float(gap[-25:].square().mean() / prior_gap.square().mean())
    wide = (reached > 2) if GENERATORS[kind].uses_gap else (0.5 < reached < 2)
    assert wide, f"the mean squared gap on rows of {kind} is {reached:.3g} times that on prior rows"


def a_teacher_without_gradients_will_do(kind: str) -> None:
    """A generator works with a black-box teacher unless ``needs_gradients``."""
    if GENERATORS[kind].needs_gradients:
        return
    teacher = network()
    problem = make_problem(lambda x: torch.from_numpy(teacher(x).detach().numpy().copy()))
    assert not problem.probe.differentiable
    (member,) = run(problem, Member("a", recipe(generator=kind), 0))
    assert member.failure is None and member.curve[-1][1] < member.curve[0][1]


def moves_start_at_the_prior_rows(kind: str) -> None:
    """With a tiny step size, rows stay at their prior rows if ``starts_from_prior``; skipped without a step size."""
    if not GENERATORS[kind].starts_from_prior or "step_size" not in _fields(kind):
        return
    still = {"step_size": 1e-9, "decay": 0.0}
    one = recipe(generator={"kind": kind} | {k: v for k, v in still.items() if k in _fields(kind)})
    synthetic, _, _, _, origin = trained_on(make_problem(), one)
    torch.testing.assert_close(synthetic, origin, rtol=0, atol=1e-6)
    assert not torch.equal(synthetic, origin)


def random_numbers_come_from_the_stream(kind: str) -> None:
    """Rows differ between members of different seeds. A block's rows come from its seed, initial state from the stream that is given.

    The same seed or stream gives the same numbers, another one gives others. State of at most two different values is free, such as zeros
    or an identity matrix.
    """
    generator, problem, one = GENERATORS[kind](), make_problem(), recipe(generator=kind, steps=2)
    mine, theirs = (trained_on(problem, one, seed)[0] for seed in (1, 2))
    assert not torch.equal(mine, theirs), f"{kind} ignores the members' streams: all members would draw the same rows"
    if isinstance(generator, BlockGenerator):
        engines = (generator.engine(FEATURES, seed) for seed in (1, 1, 2))
        first, again, other = (generator.block(problem.inputs, 2, 6, engine) for engine in engines)
        assert torch.equal(first, again), f"{kind} draws rows from another source than the engine of its seed"
        assert not torch.equal(first, other), f"{kind} ignores the seed of its engine"
    if isinstance(generator, StepGenerator):
        first, again, other = (generator.init_state(FEATURES, 1, rng(seed), torch.float64) for seed in (1, 1, 2))
        for name, value in first.items():
            assert torch.equal(value, again[name]), f"{kind} draws {name} from another stream than the one it is given"
            same = len(value.unique()) > 2 and torch.equal(value, other[name])
            assert not same, f"{kind} ignores the stream that its {name} is to come from"


LAWS: tuple[Callable[[str], None], ...] = (
    rows_are_finite_and_as_declared,
    the_gap_grows_where_it_is_used,
    a_teacher_without_gradients_will_do,
    moves_start_at_the_prior_rows,
    random_numbers_come_from_the_stream,
)
