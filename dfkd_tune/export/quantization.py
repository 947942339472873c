"""Weight-only quantization of a student: int8 with one scale for each output unit, or bfloat16; it computes in float32.

Inputs are standardized first, in float32. If scaling were folded into quantized weights, raw units far from zero would turn rounding
into large errors. Biases and widths of bumps stay in float32. ``rounding`` says which way each int8 weight is rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dfkd_tune.errors import ExportError
from dfkd_tune.export.rounding import is_weight, rounded
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encode
from dfkd_tune.networks.base import ShapedNetwork
from dfkd_tune.networks.rbf import RBFNetwork
from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured

ROWS, NOISE = 8_000, 0.3
"""Synthetic rows on which int8 weights are rounded, and how far they lie from example rows, in scales of the features."""


class Stored(nn.Module):
    """How a weight is stored: as bfloat16, or as int8 ``(out, ...)`` with a step ``(out, 1, ...)`` for each unit."""

    def __init__(self, weight: Tensor, step: Tensor | None = None) -> None:
        super().__init__()
        self._held = (weight,) if step is None else (weight, step.float())

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, ...]:
        """What is stored in the place of the weight."""
        return self._held

    def forward(self, weight: Tensor, step: Tensor | None = None) -> Tensor:
        return weight.float() if step is None else weight.float() * step


class WeightQuantized(nn.Module):
    """A student with quantized weights, from raw rows to raw outputs.

    Args:
        student: network of a built-in architecture.
        units: schema of its inputs.
        precision: ``bf16`` or ``int8``.

    Raises:
        ExportError: if the student is another network.
    """

    def __init__(self, student: nn.Module, units: InputSchema, precision: str) -> None:
        super().__init__()
        encode, exact = _standardized(student, units, precision)
        values, steps = dict(exact.named_parameters()), {}
        if precision == "int8":
            values, steps = rounded(exact, encode(units.more_rows(ROWS, NOISE)).double())
        self.network = _with_first(copy.deepcopy(exact).float(), encode)
        for name, value in values.items():
            owner, _, leaf = name.rpartition(".")
            place = self.network.get_submodule(owner)
            if is_weight(value):
                stored = Stored(value.to(torch.int8) if steps else value.bfloat16(), steps.get(name))
                parametrize.register_parametrization(place, leaf, stored, unsafe=True)
            else:
                place.get_parameter(leaf).copy_(value)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    @property
    def stored(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Every parameter by its name in the student, as it is stored, with the step of int8 weights."""
        state = self.network.state_dict()
        found: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name, value in state.items():
            plain, _, part = name.replace("parametrizations.", "").partition(".original")
            if part != "1":
                found[plain] = value, state.get(f"{name.removesuffix('.original0')}.original1")
        return found


def _standardized(student: nn.Module, units: InputSchema, precision: str) -> tuple[Encode, nn.Module]:
    """The encoding of raw rows, and the network of encoded rows in float64, without gradients; its first part does nothing."""
    if isinstance(student, RBFNetwork | ShapedNetwork):
        return student.encode, _with_first(copy.deepcopy(student).double().requires_grad_(False), nn.Identity())
    layers = [each for each in student if not isinstance(each, Encode)] if isinstance(student, nn.Sequential) else []
    if not any(isinstance(each, nn.Linear) for each in layers):
        rule = "takes students of the kinds mlp, rbf, gru, conv1d and conv2d"
        raise ExportError(f"--precision {precision}", rule, remedy="leave it out")
    exact = copy.deepcopy(nn.Sequential(nn.Identity(), *layers)).double().requires_grad_(False)
    if units.encoding.folds:  # y = W x + b = (W s) z + (b + W c)
        center, scale = (torch.tensor(v, dtype=torch.float64) for v in (units.encoding.center, units.encoding.scale))
        first = next(each for each in exact if isinstance(each, nn.Linear))
        first.bias.add_(first.weight @ center)
        first.weight.mul_(scale)
    return units.encoding.module(), exact


def _with_first(network: nn.Module, first: nn.Module) -> nn.Module:
    """A network with another first part in the place of its encoding."""
    if isinstance(network, nn.Sequential):
        network[0] = first
    else:
        network.encode = first
    return network


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
        ExportError: if the RMSE grows by more than ``within``, or the student is of no built-in architecture.
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
