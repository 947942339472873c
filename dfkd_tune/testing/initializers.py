"""Conformance tests of initializers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dfkd_tune.testing.laws import check_laws
from dfkd_tune.testing.problems import make_problem, recipe, rng
from dfkd_tune.testing.strategies import check_strategy


def check_initializer(kind: str) -> None:
    """Check every law of an initializer, given its name, including the laws of any strategy."""
    check_strategy("initializer", kind)
    check_laws(LAWS, kind)


def weights_have_the_shapes_of_the_student(kind: str) -> None:
    """The weights fit the architecture and are finite."""
    problem, one = make_problem(outputs=2), recipe(initializer=kind)
    weights = one.initializer.init(problem.init_context(one), rng())
    fit = [tuple(w.shape) for w in weights] == one.student.shapes(problem.columns, 2)
    assert fit, f"{kind} makes weights of other shapes than the student's"
    assert all(torch.isfinite(w).all() for w in weights), f"{kind} makes weights that are not finite"


def weights_are_drawn_from_the_stream(kind: str) -> None:
    """Weights come from the random stream that is given: the same one gives the same weights, another one gives others."""
    one = recipe(initializer=kind)
    context = make_problem().init_context(one)
    first, again, other = (
        torch.cat([w.flatten() for w in one.initializer.init(context, rng(seed))]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again), f"{kind} draws from another stream than the one it is given"
    assert not torch.equal(first, other), f"{kind} ignores the stream it is given: all members would start alike"


LAWS: tuple[Callable[[str], None], ...] = (weights_have_the_shapes_of_the_student, weights_are_drawn_from_the_stream)
