"""Round the weights of a network to int8 so that its outputs change little, on synthetic rows.

Each weight is rounded in turn, and the weights that are not rounded yet, with all other parameters, make up for its error as far as the
outputs are linear in them: optimal brain quantization (Frantar et al. 2023, GPTQ) with the Hessian of the outputs instead of a layer's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

MOST = 4_096
"""Largest number of parameters: time and memory grow with its square."""
CELLS = 8_000_000
"""Largest number of derivatives, of outputs times parameters."""
DAMPING = 1e-4
"""Share of the mean curvature that holds each parameter where it is."""
LEVELS = 127

Values = dict[str, Tensor]


def is_weight(value: Tensor) -> bool:
    """Whether a parameter is rounded: a weight ``(out, ...)``, in contrast to a bias or the widths of bumps."""
    return value.ndim > 1


def rounded(network: nn.Module, rows: Tensor) -> tuple[Values, Values]:
    """The parameters by name, of which weights are whole numbers; and the step ``(out, 1, ...)`` of each unit of a weight, float64.

    Args:
        network: takes encoded rows, float64, without gradients.
        rows: encoded rows ``(N, E)``, float64.
    """
    exact = {name: value.detach() for name, value in network.named_parameters()}
    steps = {name: _step(value) for name, value in exact.items() if is_weight(value)}
    nearest = {name: (value / steps[name]).round() if name in steps else value for name, value in exact.items()}
    if sum(value.numel() for value in exact.values()) > MOST:
        return nearest, steps
    half = len(rows) // 2
    try:
        moved = _compensated(network, exact, steps, rows[:half])
    except RuntimeError:  # rows on which the outputs say nothing of the weights
        return nearest, steps
    with torch.no_grad():
        wanted = network(rows[half:])
        spread = _spread(wanted)
        errors = [
            float(((outputs(network, each, steps, rows[half:]) - wanted) / spread).square().mean())
            for each in (nearest, moved)
        ]
    return (moved if errors[1] < errors[0] else nearest), steps


def outputs(network: nn.Module, values: Mapping[str, Tensor], steps: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Outputs ``(N, O)`` of the network with these parameters, of which weights are whole numbers, for encoded rows ``(N, E)``."""
    held = {name: value * steps[name] if name in steps else value for name, value in values.items()}
    return functional_call(network, held, (rows,))


def _spread(answers: Tensor) -> Tensor:
    """Standard deviations ``(O,)`` of outputs ``(N, O)``; 1 for one that does not vary."""
    spread = answers.std(0)
    return torch.where(spread > 0, spread, 1.0)


def _compensated(network: nn.Module, exact: Values, steps: Values, rows: Tensor) -> Values:
    """The parameters after each weight was rounded and all later ones made up for it; those that are not rounded come last."""
    names = sorted(exact, key=lambda name: name not in steps)
    count, wide = sum(value.numel() for value in exact.values()), network(rows[:1]).shape[1]
    part = rows[: max(1, CELLS // (count * wide))]
    with torch.no_grad():
        spread = _spread(network(rows))
    found = _derivatives(network, exact, part)
    slopes = torch.cat([found[name].reshape(len(part), wide, -1) for name in names], dim=2)
    slopes = (slopes / spread[:, None]).flatten(0, 1)
    hessian = slopes.T @ slopes / len(part)
    hessian += DAMPING * hessian.diagonal().mean() * torch.eye(count, dtype=hessian.dtype)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    theta = torch.cat([exact[name].flatten() for name in names])
    step = torch.cat([steps[name].expand_as(exact[name]).flatten() for name in names if name in steps])
    for i in range(len(step)):
        whole = (theta[i] / step[i]).round().clamp(-LEVELS, LEVELS)
        theta[i:] -= (theta[i] - whole * step[i]) / upper[i, i] * upper[i, i:]
        theta[i] = whole
    parts = theta.split([exact[name].numel() for name in names])
    return {name: part.view_as(exact[name]) for name, part in zip(names, parts, strict=True)}


def _derivatives(network: nn.Module, exact: Values, rows: Tensor) -> Values:
    """The derivatives ``(N, O, ...)`` of the outputs in each parameter, at each of the rows ``(N, E)``."""
    # A recurrence writes into its first state, which therefore is one for each row.
    states = {name: each.expand(len(rows), *each.shape) for name, each in network.named_buffers()}
    states = {name: each for name, each in states.items() if each.is_floating_point()}

    def answer(values: Values, own: Values, row: Tensor) -> Tensor:
        return functional_call(network, {**values, **own}, (row[None],))[0]

    return vmap(jacrev(answer), (None, 0, 0))(exact, states, rows)


def _step(weight: Tensor) -> Tensor:
    largest = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True)
    return largest.clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
