"""Weight-only quantization of a student: int8 with one scale for each output unit, or bfloat16; it computes in float32.

Inputs are standardized first, in float32. If scaling were folded into quantized weights, raw units far from zero would turn rounding
into large errors. Biases stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encode
from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured


class Packed(nn.Module):
    """A linear layer that stores its weight ``(out, in)`` quantized."""

    weight: Tensor
    step: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, precision: str) -> None:
        super().__init__()
        self.bias = None if bias is None else nn.Parameter(bias.float(), requires_grad=False)
        step = weight.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        whole = precision == "int8"
        self.register_buffer("weight", (weight / step).round().to(torch.int8) if whole else weight.bfloat16())
        self.register_buffer("step", step.float() if whole else None)

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
        given_layers = list(chain) if isinstance(chain, nn.Sequential) else []
        linear = [layer for layer in given_layers if isinstance(layer, nn.Linear)]
        if not linear:
            raise ExportError(f"--precision {precision}", "takes students of kind mlp alone", remedy="leave it out")
        given = (torch.tensor(v, dtype=torch.float64) for v in (units.encoding.center, units.encoding.scale))
        center, scale = given
        self.encode, folded = units.encoding.module(), units.encoding.folds
        parts = []
        for layer in given_layers:
            if isinstance(layer, Encode):
                continue
            if isinstance(layer, nn.Linear):
                weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
                if folded and layer is linear[0]:  # y = W x + b = (W s) z + (b + W c)
                    weight, bias = weight * scale, bias + weight @ center
                layer = Packed(weight, bias, precision)
            parts.append(layer)
        self.layers = nn.Sequential(*parts)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.encode(x))


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
