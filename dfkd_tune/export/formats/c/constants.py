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
"""Largest whole number that an activation becomes: float32 holds all up to here. Where the weights of a unit are large it is less, so
that no sum of products with them leaves 32 bits."""


@dataclass(frozen=True)
class Parts:
    """What a template of an architecture needs.

    Args:
        constants: definitions of constant arrays.
        values: names in the template -> their values.
        used: functions of ``activations.c.jinja`` that it calls.
        stack: number of floats, and of integers of their size, in arrays on the stack.
        most: of int8 weights, name of a product -> largest whole number that its inputs become.
    """

    constants: list[str]
    values: Mapping[str, Any]
    used: tuple[str, ...]
    stack: int = field(default=0)
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """The constants of a matrix product ``y = W x + b``.

    Args:
        name: its name in the templates.
        weight: unit by unit, ``(out, in)``, float32 or int8.
        bias: ``(out,)``; None of a convolution in depth, which has none.
        step: ``(out,)`` of int8 weights: the number by which a unit's sum is multiplied.
    """

    name: str
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    step: NDArray[Any] | None

    @property
    def constants(self) -> list[str]:
        """Weights input by input in float32, and unit by unit in int8, as sums of integers may be made in any order."""
        name, bias = self.name, [] if self.bias is None else [floats(f"bias_{self.name}", self.bias)]
        if self.step is None:
            return [floats(f"weight_{name}", self.weight.T), *bias]
        whole = map(str, self.weight.astype(np.int64).ravel().tolist())
        return [array("int8_t", f"weight_{name}", whole), floats(f"step_{name}", self.step), *bias]

    @property
    def most(self) -> int:
        """Largest whole number that an input becomes."""
        largest = int(np.abs(self.weight.astype(np.int64)).sum(1).max())
        return min(MOST, (2**31 - 1) // max(1, largest) - 1)  # less one, for rounding upwards


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
    layers = len(student.layers)
    products = [_product(student, str(i), f"weight_{i}", f"bias_{i}") for i in range(layers)]
    sizes = [products[0].weight.shape[1], *(len(each.weight) for each in products)]
    function = {"tanh": "hyperbolic"}.get(student.activation, student.activation)
    widest = max(sizes[1:-1], default=0)
    values = {"sizes": sizes, "widest": widest, "activation": function}
    stack = max(sizes[:-1]) * 2 if student.whole else widest * min(2, len(sizes) - 2)
    return _parts(student, products, values, (function,), stack)


def _rbf(student: StudentArrays) -> Parts:
    held, (units, width) = student.arrays, student.arrays["centers"].shape
    steepness = floats("steepness", -np.exp(-2.0 * held["log_widths"].astype(np.float64)) / (2.0 * width))
    values, out = {"units": units, "width": width}, _product(student, "out")
    if not student.whole:
        constants = [floats("centers", held["centers"]), steepness]
        return _parts(student, [out], values, ("exponential",), width, constants)
    # |x - c|^2 = |x|^2 - 2 x c + |c|^2: the products x c are those of int8 centers.
    step = held["centers_step"].astype(np.float64)
    squares = np.square(held["centers"] * step).sum(1)
    centers = Product("centers", held["centers"], squares, -2.0 * step[:, 0])
    return _parts(student, [centers, out], values, ("exponential",), 2 * max(units, width), [steepness])


def _gru(student: StudentArrays) -> Parts:
    steps, channels = _sizes(student)
    units = len(student.arrays["bias_ih"]) // 3
    products = [
        _product(student, "into", "weight_ih", "bias_ih"),
        _product(student, "onward", "weight_hh", "bias_hh"),
        _product(student, "out"),
    ]
    values = {"units": units, "steps": steps, "channels": channels}
    stack = channels + 7 * units + student.whole * max(channels, units)
    return _parts(student, products, values, ("sigmoid", "hyperbolic"), stack)


def _conv1d(student: StudentArrays) -> Parts:
    steps, channels = _sizes(student)
    units, kernel = len(student.arrays["first_bias"]), student.arrays["layers_0_depth_weight"].shape[-1]
    layers = _layers(student)
    products = [_product(student, "first", "first_weight", "first_bias"), *layers, _product(student, "out")]
    values = {"units": units, "steps": steps, "channels": channels, "kernel": kernel, "layers": len(layers) // 2}
    stack = channels + (steps + (steps + 1) // 2 + 1) * units
    stack += (kernel * units + max(channels, kernel * units)) * student.whole
    return _parts(student, products, values, ("silu",), stack)


def _conv2d(student: StudentArrays) -> Parts:
    held, (height, width, channels) = student.arrays, _sizes(student)
    units, layers, kernel = len(held["first_bias"]), _layers(student), held["first_weight"].shape[-1]
    count = len(layers) // 2
    sizes = [(halved(height, i), halved(width, i)) for i in range(1, count + 2)]
    left = math.prod(sizes[-1])
    # Channels lie within pixels here, as in a row; PyTorch's weights have them the other way round.
    first = _product(student, "first", "first_weight", "first_bias", held["first_weight"].transpose(0, 2, 3, 1))
    out = _product(student, "out", matrix=held["out_weight"].reshape(-1, units, left).transpose(0, 2, 1))
    values = {"units": units, "height": height, "width": width, "channels": channels, "kernel": kernel}
    values |= {"layers": count, "before": around(kernel)[0], "sizes": sizes, "left": left}
    taps, patch = kernel**2 * units if count else 0, kernel**2 * channels
    stack = patch + (math.prod(sizes[0]) + (math.prod(sizes[1]) + 1 if count else 0)) * units
    stack += (taps + max(taps, patch, left * units)) * student.whole
    return _parts(student, [first, *layers, out], values, ("silu",), stack)


def _layers(student: StudentArrays) -> list[Product]:
    """The taps, and the product of the channels, of every depthwise-separable layer."""
    count = sum(name.endswith("depth_weight") for name in student.arrays)
    return [
        each
        for i in range(count)
        for each in (
            _product(student, f"taps_{i}", f"layers_{i}_depth_weight", None),
            _product(student, str(i), f"layers_{i}_point_weight", f"layers_{i}_point_bias"),
        )
    ]


def _product(
    student: StudentArrays,
    name: str,
    weight: str = "out_weight",
    bias: str | None = "out_bias",
    matrix: NDArray[Any] | None = None,
) -> Product:
    """A product of the student's arrays of these names; ``matrix`` is its weight where inputs lie in another order."""
    held = student.arrays
    values, step = held[weight] if matrix is None else matrix, held.get(f"{weight}_step")
    flat = None if step is None else step.reshape(-1)
    return Product(name, values.reshape(len(values), -1), None if bias is None else held[bias], flat)


def _parts(
    student: StudentArrays,
    products: list[Product],
    values: Mapping[str, Any],
    used: tuple[str, ...],
    stack: int,
    further: list[str] | None = None,
) -> Parts:
    constants = [*_placed(student), *(further or []), *(each for product in products for each in product.constants)]
    return Parts(constants, values, used, stack, {each.name: each.most for each in products} if student.whole else {})


def _placed(student: StudentArrays) -> list[str]:
    index = None if student.shape is None else student.shape.index
    return [] if index is None else [indices("place_of", index)]


def _sizes(student: StudentArrays) -> tuple[int, ...]:
    assert student.shape is not None
    return student.shape.sizes
