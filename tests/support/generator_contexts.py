"""The context of one student step over a teacher and students that are written out, in float64."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dfkd_tune.generators.context import GeneratorContext
from dfkd_tune.inputs.geometry import Geometry
from dfkd_tune.recipes.gap_bounds import Unbounded
from dfkd_tune.recipes.input_bounds import Steps
from dfkd_tune.utils.strategy import Stacked

FEATURES, OUTPUTS, ROWS = 3, 2, 6


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LIKE = drawn(1)
SLOPES = drawn(FEATURES, OUTPUTS, seed=9)


def teacher(x: Tensor) -> Tensor:
    """Outputs ``(n, O)`` of rows ``(n, D)``."""
    return torch.stack([x[..., 0] * x[..., 1], x.sin().sum(-1)], dim=-1)


def linear(x: Tensor) -> Tensor:
    """The same of a linear teacher."""
    return x @ SLOPES


def student(x: Tensor) -> Tensor:
    """Outputs ``(k, n, O)`` of rows ``(k, n, D)``; each member has other weights."""
    return torch.tanh(x @ drawn(len(x), FEATURES, OUTPUTS, seed=8))


def pulled(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Outputs and their pullback."""
    values, pull = torch.func.vjp(function, x)
    return values, lambda gradient: pull(gradient)[0]


def gradients(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Input gradients ``(k, n, O, D)`` at rows ``(k, n, D)``."""
    rows = x.reshape(-1, x.shape[-1])
    return torch.func.vmap(torch.func.jacrev(lambda row: function(row[None])[0]))(rows).view(
        *x.shape[:-1], -1, len(rows[0])
    )


def parts(items: Sequence[object]) -> list[tuple[slice, type, Stacked]]:
    """Bounds of members, each in a slice of its own; of all members in one slice if they are of one class."""
    if len({type(item) for item in items}) == 1:
        return [(slice(0, len(items)), type(items[0]), Stacked(items, LIKE))]
    return [(slice(k, k + 1), type(item), Stacked([item], LIKE)) for k, item in enumerate(items)]


def context(
    bounds: Sequence[object] = (Unbounded(), Unbounded()),
    input_bounds: Sequence[object] | None = None,
    *,
    function: Callable[[Tensor], Tensor] = teacher,
    known: bool = True,
    level: Tensor | None = None,
    clocks: Sequence[int] | None = None,
    **others,
) -> GeneratorContext:
    """A context of as many members as there are gap bounds, at its first step.

    Args:
        bounds, input_bounds: one for each member.
        function: the teacher.
        known: whether the teacher's gradients at the origin are known.
        level, clocks: as in ``GeneratorContext``.
        others: other arguments of ``GeneratorContext``.
    """
    members = len(bounds)
    low = torch.full((FEATURES,), -torch.inf, dtype=torch.float64)
    given = {
        "teacher": lambda x: pulled(function, x),
        "answer": function,
        "mismatch": torch.zeros_like,
        "student": lambda x: pulled(student, x),
        "one_student": lambda k, z: student(z.expand(members, *z.shape))[k],
        "prior": lambda n, k: (drawn(n, FEATURES, seed=50 + k), function(drawn(n, FEATURES, seed=50 + k))),
        "bounds": parts(bounds),
        "input_bounds": parts(input_bounds or [Steps()] * members),
        "geometry": Geometry(low, -low, torch.eye(FEATURES, dtype=torch.float64)),
        "units": (torch.zeros(OUTPUTS, dtype=torch.float64), torch.ones(OUTPUTS, dtype=torch.float64)),
        "project": lambda x: x,
        "nominal": [],
        "gapped": [],
        "rngs": [torch.Generator().manual_seed(k) for k in range(members)],
    }
    origin = drawn(members, ROWS, FEATURES, seed=1)
    found = gradients(function, origin) if known else None
    made = GeneratorContext(**given | others)
    return made.begin(origin, function(origin), found, level, clocks or [0] * members)
