"""Teachers saved as weights (safetensors, state dict) or as TorchScript."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from .. import yamls
from ..errors import SpecError, TeacherError
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

Width = Annotated[int, Field(ge=1)]


@strategy
class Architecture:
    """A chain of linear layers: ``layers: [12, 500, 1]`` and the activation between them.

    Args:
        layers: inputs, hidden widths, outputs.
        activation: after every hidden layer, or one name a hidden layer.
        keys: prefix of each layer's ``.weight`` and ``.bias``; found by shape and natural order when left out.
    """

    layers: Annotated[list[Width], Field(min_length=2)]
    activation: str | list[str] = "tanh"
    keys: list[str] | None = None

    def __post_init__(self):
        hidden = len(self.layers) - 2
        names = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        for name in [self.activation] if isinstance(self.activation, str) else names:
            if name not in ACTIVATIONS:
                raise ValueError(f"unknown activation {name!r}, known: {', '.join(ACTIVATIONS)}")
        if len(names) != hidden:
            raise ValueError(f"{hidden} hidden layers need {hidden} activations, found {len(names)}")
        if self.keys is not None and len(self.keys) != hidden + 1:
            raise ValueError(f"{hidden + 1} layers need {hidden + 1} keys, found {len(self.keys)}")

    def module(self, state: dict[str, Tensor]) -> nn.Sequential:
        """The network with the weights of a state dict.

        Raises:
            ValueError: when no tensor has a layer's shape.
        """
        hidden = len(self.layers) - 2
        names = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        parts: list[nn.Module] = []
        free = sorted((k.removesuffix(".weight") for k in state if k.endswith(".weight")), key=_natural)
        for i, (inputs, outputs) in enumerate(pairwise(self.layers)):
            fits = [k for k in free if tuple(state[f"{k}.weight"].shape) == (outputs, inputs)]
            if self.keys is not None:
                fits = [k for k in fits if k == self.keys[i]]
            if not fits:
                found = ", ".join(f"{k} {tuple(state[f'{k}.weight'].shape)}" for k in free) or "no *.weight"
                raise ValueError(f"layer {i} needs a weight of shape ({outputs}, {inputs}), left in the file: {found}")
            free.remove(fits[0])
            weight, bias = state[f"{fits[0]}.weight"], state.get(f"{fits[0]}.bias")
            if bias is not None and tuple(bias.shape) != (outputs,):
                raise ValueError(f"{fits[0]}.bias must have shape ({outputs},), has {tuple(bias.shape)}")
            linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=weight.dtype)
            linear.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
            parts.append(linear)
            if i < hidden:
                parts.append(ACTIVATIONS[names[i]]())
        if free:
            raise ValueError(f"tensors that no layer uses: {', '.join(free)}")
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
    return build(Architecture, tree, str(path))


def load_safetensors(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A ``.safetensors`` file of weights; no code can hide in it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TeacherError(path, f"not a safetensors file, or cut short ({error})") from None
    return _from_state(path, state, architecture, hash_bytes(data))


def load_torch(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A file of ``torch.save`` or ``torch.jit.save``; the contents decide, not the ending."""
    data = path.read_bytes()
    if _is_torchscript(path):
        return _torchscript(path, hash_bytes(data))
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        if not trust_pickle:
            reason = str(error).splitlines()[0] if "Weights only" in str(error) else "not a PyTorch file, or cut short"
            reason = "holds pickled code" if "Weights only" in reason else reason
            remedy = "export it as .pt2, or give --trust-pickle if you trust its author" if "pickled" in reason else None
            raise TeacherError(path, reason, remedy=remedy) from None
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as second:
            raise TeacherError(path, f"cannot be unpickled: {type(second).__name__}: {second}") from None
    if isinstance(loaded, nn.Module):
        module = freeze(loaded)
        return Teacher(str(path), module, dtype_of(module), hash_bytes(data))
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise TeacherError(path, f"holds a {type(loaded).__name__}, not a state dict or a module")
    return _from_state(path, state, architecture, hash_bytes(data))


def _from_state(path: Path, state: dict[str, Tensor], architecture: Path | None, sha256: str) -> Teacher:
    if architecture is None:
        raise TeacherError(path, "holds weights alone", remedy="give --architecture FILE with layers and activation")
    try:
        module = freeze(read_architecture(architecture).module(state))
    except ValueError as error:
        raise TeacherError(path, f"does not fit {architecture}: {error}") from None
    return Teacher(str(path), module, dtype_of(module), sha256)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())


def _torchscript(path: Path, sha256: str) -> Teacher:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise TeacherError(path, f"TorchScript that cannot be loaded: {str(error).splitlines()[0]}") from None
    module = freeze(module)
    return Teacher(str(path), module, dtype_of(module), sha256)
