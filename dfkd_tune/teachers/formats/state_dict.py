"""Load weights (safetensors, state dict; one file or several) with a separate architecture file."""

from __future__ import annotations

import functools
import io
import json
import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.errors import SpecError, TeacherError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.base import ShapedArchitecture
from dfkd_tune.networks.kinds import ARCHITECTURES
from dfkd_tune.teachers.base import Teacher, dtype_of, freeze, hash_bytes
from dfkd_tune.teachers.formats import file_parts, torchscript
from dfkd_tune.teachers.formats.checkpoint import weights_in
from dfkd_tune.teachers.formats.dtypes import likely_dtype
from dfkd_tune.teachers.safety import archives
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.object_reference import one_line
from dfkd_tune.utils.strategy import build, kind_of, strategy

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

REMEDY = "export it as .pt2, or give --trust-pickle if you trust its author"
ARCHITECTURE_REMEDY = "give an architecture that fits, or the whole network as .pt2: torch.export.save(torch.export.export(model, (x,)), FILE)"
INDEX = ".index.json"
"""Suffix of a shard index."""

Width = Annotated[int, Field(ge=1)]


@strategy
class Architecture:
    """A chain of linear layers, such as ``layers: [12, 500, 1]``, with activations between them.

    Args:
        layers: number of inputs, hidden widths, number of outputs.
        activation: one name for all hidden layers, or one name per hidden layer.
        keys: prefix of each layer's ``.weight`` and ``.bias``; by default found by shape and natural order.
        encoding: encoding of raw rows, if the first layer does not take them unchanged.
    """

    layers: Annotated[list[Width], Field(min_length=2)]
    activation: str | list[str] = "tanh"
    keys: list[str] | None = None
    encoding: Encoding | None = None

    def __post_init__(self) -> None:
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
        """Build the network with the weights of a state dict.

        Raises:
            ValueError: the tensors do not fit the layers.
        """
        hidden = len(self.layers) - 2
        names = [self.activation] * hidden if isinstance(self.activation, str) else self.activation
        parts: list[nn.Module] = [] if self.encoding is None else [self.encoding.module()]
        kinds = [
            tensor.dtype for key, tensor in state.items() if key.endswith(".weight") and tensor.is_floating_point()
        ]
        # Half-precision weights are used in float32: the same values, in a dtype that rows have.
        dtype = functools.reduce(torch.promote_types, kinds, torch.float32)
        if self.encoding is not None:
            dtype = torch.float32  # the dtype of encoded rows
        free = sorted((k.removesuffix(".weight") for k in state if k.endswith(".weight")), key=_natural)
        unused = dict(state)
        for i, (inputs, outputs) in enumerate(pairwise(self.layers)):
            fits = [k for k in free if tuple(state[f"{k}.weight"].shape) == (outputs, inputs)]
            if self.keys is not None:
                fits = [k for k in fits if self.keys[i] in (k, f"module.{k}", f"_orig_mod.{k}")]
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
            linear = nn.Linear(inputs, outputs, bias=bias is not None, dtype=dtype)
            linear.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
            parts.append(linear)
            if i < hidden:
                parts.append(ACTIVATIONS[names[i]]())
        if unused:
            raise ValueError(f"tensors that no layer uses: {', '.join(unused)}")
        return nn.Sequential(*parts)


def _natural(text: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def read_architecture(path: Path) -> Architecture | ShapedArchitecture:
    """Read an architecture file.

    Raises:
        SpecError: the file is invalid; the message names the key and the rule.
    """
    tree = yaml_io.read(path, SpecError)
    if not isinstance(tree, dict):
        raise SpecError(path, "must be a mapping", remedy="layers: [12, 500, 1] and activation: tanh")
    return architecture_of(tree, str(path))


def architecture_of(tree: dict[str, Any], place: str) -> Architecture | ShapedArchitecture:
    """Build an architecture from the parsed YAML of its file: of the kind that it names, or a chain of linear layers.

    Raises:
        SpecError: the tree is invalid; the message names the key and the rule.
    """
    for key, part in {"encoding": Encoding, "columns": Columns}.items():
        if (given := tree.get(key)) is not None:
            if not isinstance(given, dict):
                raise SpecError(f"{place}: {key}", "must be a mapping")
            tree = tree | {key: build(part, given, f"{place}: {key}")}
    if "kind" not in tree:
        return build(Architecture, tree, place)
    kind = kind_of(ARCHITECTURES, tree["kind"], f"{place}: kind")
    return build(kind, {key: value for key, value in tree.items() if key != "kind"}, place, ("kind",))


def load_safetensors(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a ``.safetensors`` file of weights, a format that cannot hold code."""
    if index := _index_of(path):
        raise TeacherError(
            path, "is one of several files of a model", remedy=f"give {index.name}, which lists them all"
        )
    data = archives.read(path)
    return from_loaded(path, _read_safetensors(path, data), architecture, hash_bytes(data))


def load_torch(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a file of ``torch.save`` or ``torch.jit.save``, by its contents, not its suffix."""
    if index := _index_of(path):
        raise TeacherError(
            path, "is one of several files of a model", remedy=f"give {index.name}, which lists them all"
        )
    data = archives.read(path)
    if torchscript.is_script(data):
        return torchscript.load(path, data, trust_pickle)
    return from_loaded(path, _read_torch(path, data, trust_pickle), architecture, hash_bytes(data))


def load_shards(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a shard index, ``model.safetensors.index.json``, and every file that it lists.

    Raises:
        TeacherError: the index lists nothing, or a file that is missing, damaged or outside the folder.
    """
    data = archives.read(path)
    try:
        names = json.loads(data)["weight_map"]
        listed = {name: str(file) for name, file in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        rule = "must hold a weight_map of tensors and their files, as model.safetensors.index.json does"
        raise TeacherError(path, rule, remedy="give that file, or the model file itself") from None
    shards = file_parts.read_parts(path, dict.fromkeys(listed.values(), 1))
    state: dict[str, Tensor] = {}
    for name, content in shards.items():
        file = path.parent / name
        if file.suffix == ".safetensors":
            held = _read_safetensors(file, content)
        else:
            held = weights_in(_read_torch(file, content, trust_pickle)) or {}
        state |= {key: tensor for key, tensor in held.items() if listed.get(key) == name}
    if lost := sorted(set(listed) - set(state)):
        raise TeacherError(
            path,
            f"lists {lost[0][:100]!r} in {listed[lost[0]]}, which does not hold it",
            remedy=file_parts.PARTS_REMEDY,
        )
    return _from_state(path, weights_in(state) or {}, architecture, file_parts.hash_files(data, shards))


def from_loaded(path: Path, loaded: Any, architecture: Path | None, sha256: str) -> Teacher:
    """Make a teacher of an object from ``torch.load``: a module, a state dict or a checkpoint.

    Raises:
        TeacherError: it is none of these, or the weights do not fit the architecture.
    """
    module = loaded
    if isinstance(loaded, dict):
        module = next((value for value in loaded.values() if isinstance(value, nn.Module)), None)
    if isinstance(module, nn.Module):
        module = freeze(module)
        return Teacher(str(path), module, likely_dtype(module), sha256)
    state = weights_in(loaded)
    if state is None:
        keys = f" with {', '.join(map(str, [*loaded][:8]))}"[:200] if isinstance(loaded, dict) and loaded else ""
        raise TeacherError(
            path,
            f"holds a {type(loaded).__name__}{keys}, not a state dict or a module",
            remedy="save the weights, torch.save(model.state_dict(), FILE), or the whole network as .pt2",
        )
    return _from_state(path, state, architecture, sha256)


def index_in(folder: Path) -> Path | None:
    """The shard index in a folder, if there is exactly one."""
    found = sorted(folder.glob(f"*{INDEX}"))
    return found[0] if len(found) == 1 else None


def _index_of(path: Path) -> Path | None:
    """The shard index that lists a file; None if there is none."""
    if not re.search(r"-\d+-of-\d+$", path.stem):
        return None
    for index in sorted(path.parent.glob(f"*{INDEX}")):
        try:
            if path.name in json.loads(archives.read(index))["weight_map"].values():
                return index
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return None


def _read_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TeacherError(path, f"not a safetensors file, or cut short ({one_line(error)})") from None


def _read_torch(path: Path, data: bytes, trusted: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        # Other files make torch.load raise nearly every type of exception.
        found = re.search(r"Unsupported (?:global|class|operand)\S*(?: GLOBAL)? ?([\w.]*)", str(error))
        return _unpickle(path, data, trusted, found[1] if found and "Unsupported global" in found[0] else None)


def _unpickle(path: Path, data: bytes, trusted: bool, code: str | None) -> Any:
    if code is not None and not trusted:
        raise TeacherError(
            path,
            f"holds pickled code{f', {code}' if code else ''}",
            remedy="save the weights alone, torch.save(model.state_dict(), FILE), " + REMEDY,
        )
    if not trusted:
        raise TeacherError(path, "not a PyTorch file, or cut short")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:
        raise TeacherError(
            path,
            f"cannot be unpickled: {type(error).__name__}: {one_line(error)}",
            remedy="put the modules that it was saved with where Python finds them, or export it as .pt2",
        ) from None


def _from_state(path: Path, state: dict[str, Tensor], architecture: Path | None, sha256: str) -> Teacher:
    if architecture is None:
        raise TeacherError(
            path,
            "holds weights alone",
            remedy="give --architecture FILE, a YAML file such as layers: [12, 500, 1] and activation: tanh, or the whole network as .pt2",
        )
    try:
        described = read_architecture(architecture)
        module = freeze(described.module(state))
    except ValueError as error:
        raise TeacherError(path, f"does not fit {architecture}: {error}", remedy=ARCHITECTURE_REMEDY) from None
    # Other layers or activations make another teacher of the same weights.
    sha256 = file_parts.hash_files(sha256.encode(), {"architecture": architecture.read_bytes()})
    encoding = described.encoding
    if encoding is not None:
        return Teacher(str(path), module, encoding.torch_dtype, sha256, width=len(encoding.center))
    return Teacher(str(path), module, dtype_of(module), sha256)
