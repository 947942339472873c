"""Weight-only quantization of a student: int8 with one scale for each output unit, or bfloat16; it computes in float32.

Inputs are standardized first, in float32. If scaling were folded into quantized weights, raw units far from zero would turn rounding
into large errors. Biases stay in float32. ``rounding`` says which way each int8 weight is rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.rounding import rounded
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encode
from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured

ROWS, NOISE = 8_000, 0.3
"""Synthetic rows on which int8 weights are rounded, and how far they lie from example rows, in scales of the features."""


class Packed(nn.Module):
    """A linear layer that stores its weight ``(out, in)`` quantized."""

    weight: Tensor
    step: Tensor | None

    def __init__(self, weight: Tensor, step: Tensor | None, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias.float(), requires_grad=False)
        self.register_buffer("weight", weight)
        self.register_buffer("step", None if step is None else step.float())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.float()
        return nn.functional.linear(x, weight if self.step is None else weight * self.step, self.bias)


class WeightQuantized(nn.Module):
    """A student with quantized weights, from raw rows to raw outputs.

    Args:
        chain: linear layers and activations, with scaling folded into the first layer.
        units: schema of its inputs.
        precision: ``bf16`` or ``int8``.

    Raises:
        ExportError: if the student is no such chain.
    """

    def __init__(self, chain: nn.Module, units: InputSchema, precision: str) -> None:
        super().__init__()
        given_layers = (
            [each for each in chain if not isinstance(each, Encode)] if isinstance(chain, nn.Sequential) else []
        )
        linear = [layer for layer in given_layers if isinstance(layer, nn.Linear)]
        if not linear:
            raise ExportError(f"--precision {precision}", "takes students of kind mlp alone", remedy="leave it out")
        given = (torch.tensor(v, dtype=torch.float64) for v in (units.encoding.center, units.encoding.scale))
        center, scale = given
        self.encode = units.encoding.module()
        exact = copy.deepcopy(nn.Sequential(*given_layers)).double().requires_grad_(False)
        first = next(each for each in exact if isinstance(each, nn.Linear))
        if units.encoding.folds:  # y = W x + b = (W s) z + (b + W c)
            first.bias.add_(first.weight @ center)
            first.weight.mul_(scale)
        packed = iter(_packed(exact, precision, self.encode(units.more_rows(ROWS, NOISE)).double()))
        self.layers = nn.Sequential(*(next(packed) if isinstance(each, nn.Linear) else each for each in given_layers))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.encode(x))


def _packed(layers: nn.Sequential, precision: str, rows: Tensor) -> list[Packed]:
    """The linear layers with quantized weights; int8 weights are rounded on encoded rows ``(N, E)``."""
    if precision == "int8":
        return [Packed(weight.to(torch.int8), step, bias) for weight, step, bias in rounded(layers, rows)]
    return [Packed(each.weight.bfloat16(), None, each.bias) for each in layers if isinstance(each, nn.Linear)]


def quantize(
    evaluator: Callable[[ExportedStudent], Measured],
    student: nn.Module,
    units: InputSchema,
    precision: str,
    within: float,
) -> tuple[WeightQuantized, Measured, Measured]:
    """Quantize a student; returns it with its fidelity before and after.

    Args:
        evaluator: compares a student with the teacher.
        student: network from raw rows to raw outputs.
        units: schema of its inputs.
        precision: ``bf16`` or ``int8``.
        within: largest relative increase of the RMSE, with every output in its standard deviations.

    Raises:
        ExportError: if the RMSE grows by more than ``within``, or the student is no chain of linear layers.
    """
    packed = WeightQuantized(student, units, precision)
    parameters = sum(p.numel() for p in student.parameters())
    before, after = (evaluator(units.student(module, parameters)) for module in (student, packed))
    if not after.relative <= (1 + within) * before.relative:
        raise ExportError(
            f"--precision {precision}",
            f"RMSE to the teacher grows from {before} to {after}, by more than {100 * within:g} %",
            remedy="choose another precision, or allow more with --within",
        )
    return packed, before, after
