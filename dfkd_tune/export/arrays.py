"""A student as plain arrays: what formats without a computation graph are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.quantization import WeightQuantized
from dfkd_tune.inputs.encoding import Encode, Encoding
from dfkd_tune.networks.base import ShapedNetwork
from dfkd_tune.networks.conv1d import Conv1dNetwork
from dfkd_tune.networks.conv2d import Conv2dNetwork
from dfkd_tune.networks.gru import GRUNetwork
from dfkd_tune.networks.rbf import RBFNetwork
from dfkd_tune.ops.activations import ACTIVATIONS

Kind = Literal["mlp", "rbf", "gru", "conv1d", "conv2d"]
Values = NDArray[np.float32] | NDArray[np.int8]
Stored = Mapping[str, tuple[Tensor, Tensor | None]]
"""Parameters by name, each with the step of int8 weights."""


@dataclass(frozen=True)
class Shape:
    """How encoded columns lie in a window or in a grid.

    Args:
        sizes: ``(steps, channels)`` or ``(height, width, channels)``.
        index: the column at each place, in row-major order; None if columns lie in this order.
    """

    sizes: tuple[int, ...]
    index: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class StudentArrays:
    """A student as arrays.

    Args:
        kind: architecture.
        encoding: encodes raw rows first; None if the first layer takes them as they are.
        arrays: weights and biases by name, float32; for a chain, ``weight_0 (out, in)``, ``bias_0``, then those of layer 1 and so on.
            Beside each int8 weight ``NAME`` is ``NAME_step (out, 1, ...)``, by which its units are multiplied.
        activation: activation between the layers of a chain.
        shape: the window or grid of a network that takes one.
    """

    kind: Kind
    encoding: Encoding | None
    arrays: dict[str, Values] = field(repr=False)
    activation: str = ""
    shape: Shape | None = None

    @property
    def layers(self) -> list[tuple[Values, Values]]:
        """Weights ``(out, in)`` and biases of a chain, in order."""
        count = sum(name.startswith("bias_") for name in self.arrays)
        return [(self.arrays[f"weight_{i}"], self.arrays[f"bias_{i}"]) for i in range(count)]

    @property
    def whole(self) -> bool:
        """Whether weights are int8."""
        return any(each.dtype == np.int8 for each in self.arrays.values())


def arrays_of(module: nn.Module, wanted: str) -> StudentArrays:
    """A student as arrays.

    Args:
        module: network from raw rows to raw outputs.
        wanted: what needs it, such as ``--format c``, for error messages.

    Raises:
        ExportError: its layers are not those of a built-in architecture, or a weight is not finite.
    """
    made = _arrays_of(module)
    if made is None:
        rule = "knows the layers of mlp, rbf, gru, conv1d and conv2d, and this student has others"
        raise ExportError(wanted, rule, remedy="take --format pt2 or onnx")
    if not all(bool(np.isfinite(each).all()) for each in made.arrays.values()):
        raise ExportError(wanted, "a weight of this student is no finite number", remedy="choose another --trial")
    return made


def _arrays_of(module: nn.Module) -> StudentArrays | None:
    network = module.network if isinstance(module, WeightQuantized) else module
    stored = (
        module.stored if isinstance(module, WeightQuantized) else {k: (v, None) for k, v in module.state_dict().items()}
    )
    if isinstance(network, nn.Sequential):
        return _chain(list(network), stored)
    if isinstance(network, RBFNetwork):
        return StudentArrays("rbf", network.encode.encoding, _named(stored))
    kinds: dict[type[ShapedNetwork], Kind] = {GRUNetwork: "gru", Conv1dNetwork: "conv1d", Conv2dNetwork: "conv2d"}
    for each, kind in kinds.items():
        if isinstance(network, each):
            index = network.arrange.index
            shape = Shape(network.arrange.shape, None if index is None else index.numpy())
            return StudentArrays(kind, network.encode.encoding, _named(stored), shape=shape)
    return None


def _chain(parts: list[nn.Module], stored: Stored) -> StudentArrays | None:
    """A chain of linear layers, with one activation between them."""
    first = parts[0] if parts else None
    encoding = first.encoding if isinstance(first, Encode) else None
    layers = parts[encoding is not None :]
    linear = [each for each in layers[::2] if isinstance(each, nn.Linear)]
    between = {type(each) for each in layers[1::2]}
    names = {kind.module: name for name, kind in ACTIVATIONS.items()}
    known = all(kind in names for kind in between) and len(between) <= 1
    biased = all(each.bias is not None for each in linear)
    if not linear or len(linear) != len(layers[::2]) or len(layers) % 2 == 0 or not known or not biased:
        return None
    arrays = {}
    for i in range(len(linear)):
        place = 2 * i + (encoding is not None)
        arrays |= _named({f"{leaf}_{i}": stored[f"{place}.{leaf}"] for leaf in ("weight", "bias")})
    return StudentArrays("mlp", encoding, arrays, names[between.pop()] if between else "")


def _named(stored: Stored) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for name, (value, step) in stored.items():
        plain = name.replace(".", "_")
        found[plain] = _array(value)
        if step is not None:
            found |= {plain: value.numpy(), f"{plain}_step": _array(step)}
    return found


def _array(value: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())
