"""Round the weights of a chain to int8 so that its outputs change little, on synthetic rows.

Each weight is rounded in turn, and the weights that are not rounded yet, with the biases, make up for its error as far as the outputs are
linear in them: optimal brain quantization (Frantar et al. 2023, GPTQ) with the Hessian of the outputs instead of a layer's.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def rounded(layers: nn.Sequential, rows: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Weights ``(out, in)`` as whole numbers, the step of each unit ``(out, 1)``, and the bias of each linear layer, float64.

    Args:
        layers: linear layers and activations, float64.
        rows: encoded rows ``(N, E)``, float64.
    """
    linear = [each for each in layers if isinstance(each, nn.Linear)]
    steps = [_step(each.weight.detach()) for each in linear]
    nearest = [
        ((each.weight.detach() / step).round(), step, each.bias.detach())
        for each, step in zip(linear, steps, strict=True)
    ]
    count = sum(p.numel() for p in layers.parameters())
    if count > MOST:
        return nearest
    half = len(rows) // 2
    try:
        moved = _compensated(layers, steps, rows[:half])
    except RuntimeError:  # rows on which the outputs say nothing of the weights
        return nearest
    with torch.no_grad():
        wanted = layers(rows[half:])
        errors = [
            float(((_outputs(layers, each, rows[half:]) - wanted) / wanted.std(0)).square().mean())
            for each in (nearest, moved)
        ]
    return moved if errors[1] < errors[0] else nearest


def _compensated(layers: nn.Sequential, steps: Sequence[Tensor], rows: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The parameters after each weight was rounded and all later ones made up for it; biases come last, and are not rounded."""
    named = {name: value.detach() for name, value in layers.named_parameters()}
    names = sorted(named, key=lambda name: name.endswith("bias"))
    outputs = layers(rows[:1]).shape[1]
    count = sum(value.numel() for value in named.values())
    part = rows[: max(1, CELLS // (count * outputs))]

    def answer(values: dict[str, Tensor], row: Tensor) -> Tensor:
        return functional_call(layers, values, (row[None],))[0]

    with torch.no_grad():
        spread = layers(rows).std(0)
    found = vmap(jacrev(answer), (None, 0))(named, part)
    slopes = torch.cat([found[name].reshape(len(part), outputs, -1) for name in names], dim=2)
    slopes = (slopes / torch.where(spread > 0, spread, 1.0)[:, None]).flatten(0, 1)
    hessian = slopes.T @ slopes / len(part)
    hessian += DAMPING * hessian.diagonal().mean() * torch.eye(count, dtype=hessian.dtype)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    theta = torch.cat([named[name].flatten() for name in names])
    step = torch.cat([each.expand_as(named[name]).flatten() for each, name in zip(steps, names, strict=False)])
    for i in range(len(step)):
        whole = (theta[i] / step[i]).round().clamp(-LEVELS, LEVELS)
        theta[i:] -= (theta[i] - whole * step[i]) / upper[i, i] * upper[i, i:]
        theta[i] = whole
    parts = dict(zip(names, theta.split([named[name].numel() for name in names]), strict=True))
    weights = [name for name in names if name.endswith("weight")]
    return [
        (parts[name].view_as(named[name]), each, parts[name.replace("weight", "bias")])
        for name, each in zip(weights, steps, strict=True)
    ]


def _step(weight: Tensor) -> Tensor:
    return weight.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS


def _outputs(layers: nn.Sequential, held: Sequence[tuple[Tensor, Tensor, Tensor]], rows: Tensor) -> Tensor:
    """Outputs of the layers with rounded weights."""
    left = iter(held)
    for each in layers:
        if isinstance(each, nn.Linear):
            whole, step, bias = next(left)
            rows = nn.functional.linear(rows, whole * step, bias)
        else:
            rows = each(rows)
    return rows
