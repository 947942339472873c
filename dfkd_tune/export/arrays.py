"""A student as plain arrays: what formats without a computation graph are written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.quantization import Packed, WeightQuantized
from dfkd_tune.inputs.encoding import Encode, Encoding
from dfkd_tune.networks.base import ShapedNetwork
from dfkd_tune.networks.conv1d import Conv1dNetwork
from dfkd_tune.networks.conv2d import Conv2dNetwork
from dfkd_tune.networks.gru import GRUNetwork
from dfkd_tune.networks.rbf import RBFNetwork
from dfkd_tune.ops.activations import ACTIVATIONS

Kind = Literal["mlp", "rbf", "gru", "conv1d", "conv2d"]
Values = NDArray[np.float32] | NDArray[np.int8]


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
    """A student as arrays. Weights are float32, or those of a chain int8 with a float32 step for each unit.

    Args:
        kind: architecture.
        encoding: encodes raw rows first; None if the first layer takes them as they are.
        arrays: weights and biases by name; for a chain, ``weight_0 (out, in)``, ``bias_0``, and of int8 weights ``step_0 (out,)``,
            then those of layer 1 and so on.
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
        count = sum(name.startswith("weight_") for name in self.arrays)
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
    if isinstance(module, nn.Sequential):
        return _chain(list(module))
    if isinstance(module, WeightQuantized):
        return _chain([module.encode, *module.layers])
    if isinstance(module, RBFNetwork):
        return StudentArrays("rbf", module.encode.encoding, _named(module))
    kinds: dict[type[nn.Module], Kind] = {GRUNetwork: "gru", Conv1dNetwork: "conv1d", Conv2dNetwork: "conv2d"}
    if isinstance(module, ShapedNetwork) and type(module) in kinds:
        index = module.arrange.index
        shape = Shape(module.arrange.shape, None if index is None else index.numpy())
        return StudentArrays(kinds[type(module)], module.encode.encoding, _named(module), shape=shape)
    return None


def _chain(parts: list[nn.Module]) -> StudentArrays | None:
    """A chain of linear layers, with one activation between them."""
    first = parts[0] if parts else None
    encoding = first.encoding if isinstance(first, Encode) else None
    layers = parts[encoding is not None :]
    linear = [each for each in layers[::2] if isinstance(each, nn.Linear | Packed)]
    between = {type(each) for each in layers[1::2]}
    names = {kind.module: name for name, kind in ACTIVATIONS.items()}
    known = all(kind in names for kind in between) and len(between) <= 1
    if not linear or len(linear) != len(layers[::2]) or len(layers) % 2 == 0 or not known:
        return None
    arrays: dict[str, Values] = {}
    for i, each in enumerate(linear):
        if each.bias is None:
            return None
        arrays |= {f"weight_{i}": _array(each.weight), f"bias_{i}": _array(each.bias)}
        if isinstance(each, Packed) and each.step is not None:
            arrays |= {f"weight_{i}": each.weight.numpy(), f"step_{i}": _array(each.step[:, 0])}
    return StudentArrays("mlp", encoding, arrays, names[between.pop()] if between else "")


def _named(module: nn.Module) -> dict[str, Values]:
    return {name.replace(".", "_"): _array(value) for name, value in module.state_dict().items()}


def _array(value: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())
