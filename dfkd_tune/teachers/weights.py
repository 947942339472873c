"""Teachers saved as weights (safetensors, state dict) or as TorchScript."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from .. import yamls
from ..encoding import Encoding
from ..errors import SpecError, TeacherError
from ..imports import one_line
from ..strategy import build, strategy
from .base import Teacher, dtype_of, freeze, hash_bytes

ACTIVATIONS = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "leaky_relu": nn.LeakyReLU,
    "identity": nn.Identity,
}

OUTREACH = re.compile(r"\b(save|from_file|classes)\b|getattr\([^)]*\\|(?<![\w.])ops\b(?!\.(aten|prims?|quantized)\.)")
"""What TorchScript writes files with, or could: loading and asking a script run it."""
REMEDY = "export it as .pt2, or give --trust-pickle if you trust its author"

Width = Annotated[int, Field(ge=1)]


@strategy
class Architecture:
    """A chain of linear layers: ``layers: [12, 500, 1]`` and the activation between them.

    Args:
        layers: inputs, hidden widths, outputs.
        activation: after every hidden layer, or one name a hidden layer.
        keys: prefix of each layer's ``.weight`` and ``.bias``; found by shape and natural order when left out.
        encoding: of raw rows, where the first layer does not take them as they are.
    """

    layers: Annotated[list[Width], Field(min_length=2)]
    activation: str | list[str] = "tanh"
    keys: list[str] | None = None
    encoding: Encoding | None = None

    def __post_init__(self):
        hidden = len(self.layers) - 2
        names = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        for name in [self.activation] if isinstance(self.activation, str) else names:
            if name not in ACTIVATIONS:
                raise ValueError(f"unknown activation {name!r}, known: {', '.join(ACTIVATIONS)}")
        if len(names) != hidden:
            raise ValueError(f"{hidden} hidden layers need {hidden} activations, found {len(names)}")
        if self.encoding is not None and self.encoding.width != self.layers[0]:
            raise ValueError(
                f"the encoding makes {self.encoding.width} columns, the first layer takes {self.layers[0]}"
            )
        if self.keys is not None and len(self.keys) != hidden + 1:
            raise ValueError(f"{hidden + 1} layers need {hidden + 1} keys, found {len(self.keys)}")

    def module(self, state: dict[str, Tensor]) -> nn.Sequential:
        """The network with the weights of a state dict.

        Raises:
            ValueError: when no tensor has a layer's shape.
        """
        hidden = len(self.layers) - 2
        names = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        parts: list[nn.Module] = [] if self.encoding is None else [self.encoding.module()]
        free = sorted((k.removesuffix(".weight") for k in state if k.endswith(".weight")), key=_natural)
        unused = dict(state)
        for i, (inputs, outputs) in enumerate(pairwise(self.layers)):
            fits = [k for k in free if tuple(state[f"{k}.weight"].shape) == (outputs, inputs)]
            if self.keys is not None:
                fits = [k for k in fits if k == self.keys[i]]
            if not fits:
                found = ", ".join(f"{k} {tuple(state[f'{k}.weight'].shape)}" for k in free) or "no *.weight"
                raise ValueError(f"layer {i} needs a weight of shape ({outputs}, {inputs}), left in the file: {found}")
            if len({re.sub(r"\d+", "", k) for k in fits}) > 1:
                raise ValueError(f"{', '.join(fits)} have the same shape: name the layers in order with keys")
            free.remove(fits[0])
            weight, bias = state[f"{fits[0]}.weight"], state.get(f"{fits[0]}.bias")
            unused = {k: v for k, v in unused.items() if v is not weight and v is not bias}
            if not weight.is_floating_point():
                raise ValueError(f"{fits[0]}.weight must hold floating-point numbers, holds {weight.dtype}")
            if bias is not None and tuple(bias.shape) != (outputs,):
                raise ValueError(f"{fits[0]}.bias must have shape ({outputs},), has {tuple(bias.shape)}")
            linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=weight.dtype)
            linear.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
            parts.append(linear)
            if i < hidden:
                parts.append(ACTIVATIONS[names[i]]())
        if unused:
            raise ValueError(f"tensors that no layer uses: {', '.join(unused)}")
        return nn.Sequential(*parts)


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def read_architecture(path: Path) -> Architecture:
    """Read an architecture file.

    Raises:
        SpecError: naming the key and the rule.
    """
    tree = yamls.read(path, SpecError)
    if not isinstance(tree, dict):
        raise SpecError(path, "must be a mapping", remedy="layers: [12, 500, 1] and activation: tanh")
    return architecture_of(tree, str(path))


def architecture_of(tree: dict, place: str) -> Architecture:
    """An architecture from the tree of its file.

    Raises:
        SpecError: naming the key and the rule.
    """
    encoding = tree.get("encoding")
    if encoding is not None:
        if not isinstance(encoding, dict):
            raise SpecError(f"{place}: encoding", "must be a mapping")
        tree = tree | {"encoding": build(Encoding, encoding, f"{place}: encoding")}
    return build(Architecture, tree, place)


def load_safetensors(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A ``.safetensors`` file of weights; no code can hide in it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TeacherError(path, f"not a safetensors file, or cut short ({one_line(error)})") from None
    return _from_state(path, state, architecture, hash_bytes(data))


def load_torch(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A file of ``torch.save`` or ``torch.jit.save``; the contents decide, not the ending."""
    data = path.read_bytes()
    if any(_is_script(name) for name in _names(data)):
        return _torchscript(path, data, trust_pickle)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load meets a foreign file with nearly every kind of exception.
        loaded = _unpickle(path, data, trust_pickle, "Unsupported global" in str(error))
    if isinstance(loaded, nn.Module):
        module = freeze(loaded)
        return Teacher(str(path), module, dtype_of(module), hash_bytes(data))
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise TeacherError(path, f"holds a {type(loaded).__name__}, not a state dict or a module")
    return _from_state(path, state, architecture, hash_bytes(data))


def _unpickle(path: Path, data: bytes, trusted: bool, code: bool) -> Any:
    if code and not trusted:
        raise TeacherError(path, "holds pickled code", remedy=REMEDY)
    if not trusted:
        raise TeacherError(path, "not a PyTorch file, or cut short")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:
        raise TeacherError(path, f"cannot be unpickled: {type(error).__name__}: {one_line(error)}") from None


def _from_state(path: Path, state: dict[str, Tensor], architecture: Path | None, sha256: str) -> Teacher:
    if architecture is None:
        raise TeacherError(path, "holds weights alone", remedy="give --architecture FILE with layers and activation")
    try:
        module = freeze(read_architecture(architecture).module(state))
    except ValueError as error:
        raise TeacherError(path, f"does not fit {architecture}: {error}") from None
    return Teacher(str(path), module, dtype_of(module), sha256)


def _names(data: bytes) -> list[str]:
    """The entries of a zip archive; none for any other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:
        return []  # zipfile meets a damaged directory with several kinds of exception


def _is_script(name: str) -> bool:
    return "/code/" in name or name.endswith("constants.pkl")


def _torchscript(path: Path, data: bytes, trust_pickle: bool) -> Teacher:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(io.BytesIO(data if trust_pickle else _harmless(path, data)), map_location="cpu")
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(path, f"TorchScript that cannot be loaded: {one_line(error)}") from None
    module = freeze(module)
    return Teacher(str(path), module, dtype_of(module), hash_bytes(data))


def _harmless(path: Path, data: bytes) -> bytes:
    """A copy, entry by entry as checked: another reader might find other entries in the original."""
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            found = OUTREACH.search(content.decode(errors="replace")) if name.endswith(".py") else None
            if found:
                raise TeacherError(path, f"TorchScript that reaches beyond a network: {found[0]!r}", remedy=REMEDY)
            target.writestr(name, content)
    return copy.getvalue()
