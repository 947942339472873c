"""A device that is none: tensors that say they are on a GPU, hold their numbers on the host, and refuse to meet the host's.

``FakeTensorMode`` knows no numbers, and the loop looks at some (losses, clocks, line searches). Here every operation is really
computed, so data decide as they do on a GPU, and what would fail there for tensors of two devices fails here.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
HOST = torch.device("cpu")
COPIES = {"aten._to_copy.default", "aten.copy_.default"}
"""What moves numbers between devices."""
INDEXING = {"aten.index.Tensor", "aten.index_put_.default", "aten.index_put.default", "aten._index_put_impl_.default"}
"""What takes indices from either device."""


class Far(torch.Tensor):
    """A tensor on the second device."""

    @staticmethod
    def __new__(cls, near: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=DEVICE,
        )

    def __init__(self, near: torch.Tensor):
        self.near = near

    def __repr__(self) -> str:
        return f"Far({self.near})"

    def tolist(self) -> list:
        return self.near.tolist()

    def new_tensor(self, data, **options) -> Far:
        return Far(torch.tensor(data, dtype=options.get("dtype", self.dtype)))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """While it is on, the second device is there; leaves count of what was computed on it."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = _tensors((args, kwargs))
        asked = kwargs.get("device")
        if any(isinstance(tensor, Far) for tensor in tensors) or (asked is not None and asked.type == DEVICE.type):
            self.operations += 1
            return _computed(func, args, kwargs)
        return func(*args, **kwargs)


class Mixed(RuntimeError):
    """Tensors of two devices in one operation, which a GPU refuses."""


def _turned(kind: type, turn, tree):
    """The same arguments with each tensor of a kind turned: PyTorch's own trees take most of the time of such tests."""
    if isinstance(tree, kind):
        return turn(tree)
    if type(tree) in (tuple, list):
        return type(tree)([_turned(kind, turn, each) for each in tree])
    if type(tree) is dict:
        return {name: _turned(kind, turn, each) for name, each in tree.items()}
    return tree


def _tensors(tree) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    _turned(torch.Tensor, found.append, tree)
    return found


def _computed(func, args, kwargs):
    kwargs, name = dict(kwargs), str(func)
    tensors = _tensors((args, kwargs))
    far = [tensor for tensor in tensors if isinstance(tensor, Far)]
    near = [tensor for tensor in tensors if not isinstance(tensor, Far) and tensor.ndim]
    if name in INDEXING:
        near = [tensor for tensor in _tensors(args[0:1] + args[2:]) if not isinstance(tensor, Far) and tensor.ndim]
    if far and near and name not in COPIES:
        raise Mixed(f"{name} of tensors on {DEVICE} and on the host: {[tuple(t.shape) for t in tensors]}")
    asked = kwargs.get("device")
    rng = kwargs.get("generator")
    place = asked if asked is not None else (DEVICE if far else HOST)
    if rng is not None and rng.device.type != place.type:
        raise Mixed(f"{name} on {place} with a random stream of {rng.device}")
    if asked is not None:
        kwargs["device"] = HOST
        if name == "aten._to_copy.default" and asked.type == DEVICE.type:
            kwargs.pop("device")
    kwargs.pop("pin_memory", None)
    plain = _turned(Far, lambda tensor: tensor.near, (args, kwargs))
    made = func(*plain[0], **plain[1])
    if name == "aten._local_scalar_dense.default" or place.type == "cpu":
        return made
    if name.endswith("_.default") or name.endswith("_.Tensor") or name.endswith("_.Scalar"):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    if func._schema.is_mutable and isinstance(args[0], torch.Tensor) and isinstance(made, torch.Tensor):
        return args[0]
    return _turned(torch.Tensor, lambda tensor: tensor if isinstance(tensor, Far) else Far(tensor), made)
