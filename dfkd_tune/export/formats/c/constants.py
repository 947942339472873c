"""The constants of a student in C: weights in the order in which the templates walk through them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfkd_tune.export.arrays import StudentArrays
from dfkd_tune.export.formats.c.text import array, number
from dfkd_tune.networks.conv2d import around, halved

FLOAT_BYTES = 4
MOST = 2**23
"""Largest whole number that an activation becomes: float32 holds all up to here. Where a layer has many inputs it is less, so that no
sum of products with int8 weights leaves 32 bits."""


@dataclass(frozen=True)
class Parts:
    """What a template of an architecture needs.

    Args:
        constants: definitions of constant arrays.
        values: names in the template -> their values.
        used: functions of ``activations.c.jinja`` that it calls.
        stack: number of floats in arrays on the stack.
    """

    constants: list[str]
    values: Mapping[str, Any]
    used: tuple[str, ...]
    stack: int = field(default=0)


def parts_of(student: StudentArrays) -> Parts:
    """The constants and values of a student's template."""
    return {"mlp": _mlp, "rbf": _rbf, "gru": _gru, "conv1d": _conv1d, "conv2d": _conv2d}[student.kind](student)


def floats(name: str, values: NDArray[np.number]) -> str:
    """A constant array of float32."""
    return array("float", name, map(number, values.astype(np.float64).ravel().tolist()))


def indices(name: str, values: list[int] | NDArray[np.int64]) -> str:
    """A constant array of places, in the smallest type."""
    most = max(map(int, values))
    kind = "unsigned char" if most < 2**8 else "unsigned short" if most < 2**16 else "int"
    return array(kind, name, (str(int(each)) for each in values))


def _mlp(student: StudentArrays) -> Parts:
    constants, sizes = [], [student.layers[0][0].shape[1]]
    for i, (weight, bias) in enumerate(student.layers):
        if student.whole:  # unit by unit, for sums of integers in any order
            constants += [array("int8_t", f"weight_{i}", map(str, weight.astype(np.int64).ravel().tolist()))]
            constants += [floats(f"step_{i}", student.arrays[f"step_{i}"]), floats(f"bias_{i}", bias)]
        else:
            constants += [floats(f"weight_{i}", weight.T), floats(f"bias_{i}", bias)]
        sizes.append(len(bias))
    function = {"tanh": "hyperbolic"}.get(student.activation, student.activation)
    widest = max(sizes[1:-1], default=0)
    values = {"sizes": sizes, "widest": widest, "activation": function, "whole": student.whole}
    values["most"] = [min(MOST, (2**31 - 1) // (127 * size)) for size in sizes[:-1]]
    stack = max(sizes[:-1]) * 2 if student.whole else widest * min(2, len(sizes) - 2)
    return Parts(constants, values, (function,), stack)


def _rbf(student: StudentArrays) -> Parts:
    held, (units, width) = student.arrays, student.arrays["centers"].shape
    steepness = -np.exp(-2.0 * held["log_widths"].astype(np.float64)) / (2.0 * width)
    constants = [floats("centers", held["centers"]), floats("steepness", steepness), *_out(student)]
    return Parts(constants, {"units": units, "width": width}, ("exponential",), width)


def _gru(student: StudentArrays) -> Parts:
    held, (steps, channels) = student.arrays, _sizes(student)
    units = len(held["bias_ih"]) // 3
    constants = [
        floats("weight_into", held["weight_ih"].T),
        floats("bias_into", held["bias_ih"]),
        floats("weight_onward", held["weight_hh"].T),
        floats("bias_onward", held["bias_hh"]),
        *_out(student),
    ]
    values = {"units": units, "steps": steps, "channels": channels}
    return Parts([*_placed(student), *constants], values, ("sigmoid", "hyperbolic"), 7 * units)


def _conv1d(student: StudentArrays) -> Parts:
    held, (steps, channels) = student.arrays, _sizes(student)
    units, layers = len(held["first_bias"]), sum(name.endswith("depth_weight") for name in held)
    kernel = held["layers_0_depth_weight"].shape[-1]
    constants = [floats("weight_first", held["first_weight"].T), floats("bias_first", held["first_bias"])]
    constants += _layers(student, layers)
    values = {"units": units, "steps": steps, "channels": channels, "kernel": kernel, "layers": layers}
    stack = (steps + (steps + 1) // 2 + 1) * units
    return Parts([*_placed(student), *constants, *_out(student)], values, ("silu",), stack)


def _conv2d(student: StudentArrays) -> Parts:
    held, (height, width, channels) = student.arrays, _sizes(student)
    units, layers = len(held["first_bias"]), sum(name.endswith("depth_weight") for name in held)
    kernel = held["first_weight"].shape[-1]
    sizes = [(halved(height, i), halved(width, i)) for i in range(1, layers + 2)]
    left = math.prod(sizes[-1])
    first = held["first_weight"].transpose(2, 3, 1, 0)
    constants = [floats("weight_first", first), floats("bias_first", held["first_bias"]), *_layers(student, layers)]
    # The linear layer takes channel by channel what lies pixel by pixel here.
    out = held["out_weight"].reshape(-1, units, left).transpose(2, 1, 0)
    constants += [floats("weight_out", out), floats("bias_out", held["out_bias"])]
    values = {"units": units, "height": height, "width": width, "channels": channels, "kernel": kernel}
    values |= {"layers": layers, "before": around(kernel)[0], "sizes": sizes, "left": left}
    stack = (math.prod(sizes[0]) + (math.prod(sizes[1]) + 1 if layers else 0)) * units
    return Parts([*_placed(student), *constants], values, ("silu",), stack)


def _layers(student: StudentArrays, count: int) -> list[str]:
    """Taps ``(k, W)`` or ``(k k, W)``, weight and bias of every depthwise-separable layer."""
    made = []
    for i in range(count):
        depth, point, bias = (student.arrays[f"layers_{i}_{e}"] for e in ("depth_weight", "point_weight", "point_bias"))
        made += [floats(f"taps_{i}", depth.reshape(len(depth), -1).T)]
        made += [floats(f"weight_{i}", point.reshape(len(point), -1).T), floats(f"bias_{i}", bias)]
    return made


def _out(student: StudentArrays) -> list[str]:
    return [floats("weight_out", student.arrays["out_weight"].T), floats("bias_out", student.arrays["out_bias"])]


def _placed(student: StudentArrays) -> list[str]:
    assert student.shape is not None  # these kinds have one
    return [] if student.shape.index is None else [indices("place_of", student.shape.index)]


def _sizes(student: StudentArrays) -> tuple[int, ...]:
    assert student.shape is not None
    return student.shape.sizes
