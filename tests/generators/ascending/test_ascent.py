"""The ascent from prior rows: RMSprop of PyTorch, and two ways whose steps have a length."""

import pytest
import torch
from generator_contexts import LIKE, context

from dfkd_tune.generators.ascending.ascent import COLD, EPS, SMOOTHING, ascend
from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.recipes.input_bounds import Linf
from dfkd_tune.utils.strategy import Stacked


def stacked(**about) -> Stacked:
    return Stacked([Direct(step_size=size, **about) for size in (0.01, 0.05)], LIKE)


def uphill(x):
    """The gradient of a function of each row."""
    return torch.cos(3 * x) * (1 + x.square().sum(-1, keepdim=True)).reciprocal()


def test_rmsprop_is_that_of_torch():
    made = context()
    rows = [row.clone().requires_grad_() for row in made.origin]
    found = ascend(stacked(steps=4, decay=0.1), made, uphill)
    for row, size, mine in zip(rows, (0.01, 0.05), found, strict=True):
        optimizer = torch.optim.RMSprop([row], lr=size, alpha=SMOOTHING, eps=EPS, weight_decay=0.1, maximize=True)
        for _ in range(4):
            row.grad = uphill(row.detach())
            optimizer.step()
        torch.testing.assert_close(mine, row.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ascent", ["sign", "normalized"])
def test_a_step_is_as_long_as_the_first_one_of_rmsprop(ascent):
    made = context()
    moved = ascend(stacked(steps=1, decay=0.0, ascent=ascent), made, uphill) - made.origin
    lengths = moved.abs() if ascent == "sign" else moved.square().mean(-1).sqrt()
    for k, size in enumerate((0.01, 0.05)):
        torch.testing.assert_close(lengths[k], torch.full_like(lengths[k], COLD * size), rtol=1e-4, atol=0)


@pytest.mark.parametrize("ascent", ["rmsprop", "sign", "normalized"])
def test_the_bound_holds_at_every_step(ascent):
    seen, made = [], context(input_bounds=(Linf(radius=0.1), Linf(radius=0.1)))

    def record(x):
        seen.append(x.clone())
        return uphill(x)

    seen.append(ascend(stacked(steps=5, ascent=ascent), made, record))
    assert max(float((x - made.origin).abs().max()) for x in seen) <= 0.1 + 1e-12
