"""Layers of fused teachers against autograd; rows are the last dimension."""

from collections.abc import Callable

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.base import Layer

ROWS = 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows_first(module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of ``(N, ...)`` as one of ``(..., N)``."""
    return lambda x: module(x.movedim(-1, 0)).movedim(0, -1)


def same(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def check(layer: Layer, function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """A layer has the value of a function and the gradients of autograd, and overwrites neither its inputs nor a gradient."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    expected = function(*leaves)
    gradient = drawn(*expected.shape, seed=99)
    kept = gradient.clone()
    with torch.no_grad():
        same(layer.value(*(x.clone() for x in inputs)), expected.detach())
        given = [x.clone() for x in inputs]
        value, pull = layer.vjp(*given)
        same(value, expected.detach())
        found = pull(gradient)
        again = pull(gradient)
    pulled = torch.autograd.grad(expected, leaves, gradient, allow_unused=True)
    for mine, twice, theirs, x in zip(found, again, pulled, inputs, strict=True):
        same(mine, torch.zeros_like(x) if theirs is None else theirs)
        same(twice, mine)
    assert torch.equal(gradient, kept)
    if not getattr(layer, "in_place", False):
        assert all(map(torch.equal, given, inputs))
