"""What every teacher can do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.guarded import OURS, Guard
from dfkd_tune.utils.object_reference import raised
from dfkd_tune.utils.user_code import Confined

M = TypeVar("M", bound=nn.Module)


class Layers(Protocol):
    """A chain of linear layers ``(weight (out, in), bias (out,))``, and the name of an activation between each two."""

    @property
    def layers(self) -> Sequence[tuple[Tensor, Tensor]]: ...

    @property
    def activations(self) -> Sequence[str]: ...


class FastForward(Protocol):
    """A forward pass ``(N, D) -> (N, O)`` whose layers are known."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The answers, and their pullback ``(N, O) -> (N, D)``."""
        ...

    def on(self, device: torch.device) -> FastForward:
        """The same layers on a device."""
        ...

    def between(self, center: Tensor, scale: Tensor, shift: Tensor, spread: Tensor) -> FastForward:
        """``z -> (self(center + scale z) - shift) / spread``."""
        ...


@dataclass(frozen=True)
class Teacher:
    """A frozen function from raw inputs ``(N, D)`` to outputs ``(N, O)``.

    Args:
        source: where it came from, for messages and records.
        function: the forward pass; its output may be ``(N,)`` or ``(N, O)``.
        dtype: of the inputs it takes.
        sha256: of the file, or of the named code's weights.
        width: features it takes, where the file says so.
        chain: its layers, where it is a chain of linear layers that could be read.
        fast: a forward pass with the same answers, where there is one.
        estimator: the fitted scikit-learn estimator that answers, where one does.
        guard: what stands between its code and this process; copies of a teacher share it.
    """

    source: str
    function: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    sha256: str
    width: int | None = None
    chain: Layers | None = None
    fast: FastForward | None = None
    estimator: Any = None
    guard: Guard = field(default_factory=Guard, compare=False, repr=False)

    @property
    def parameters(self) -> int | None:
        """How many trained values it has; None where they cannot be counted."""
        if not isinstance(self.function, nn.Module):
            return None
        return sum(p.numel() for p in self.function.parameters()) or None

    def __call__(self, x: Tensor) -> Tensor:
        """Answer rows ``(N, D)`` with ``(N, O)`` in the dtype of ``x``; differentiable where the teacher is.

        Raises:
            TeacherError: when its code fails, in whichever way, with a row that shows it.
        """
        rows = x.to(self.dtype)
        y = self.fast(rows) if self.fast is not None else self.guard.ask(self.source, self.function, rows)
        return y.to(x.dtype)

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The same answers, and their pullback ``(N, O) -> (N, D)``; by autograd unless the layers are known; errors are those of a call."""
        if self.fast is not None:
            y, pull = self.fast.vjp(x.to(self.dtype))
            return y.to(x.dtype), lambda gradient: pull(gradient.to(self.dtype)).to(x.dtype)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = self(x)
        return y.detach(), lambda gradient: self._pull(x, y, gradient)

    def _pull(self, x: Tensor, y: Tensor, gradient: Tensor) -> Tensor:
        try:
            with Confined():
                return torch.autograd.grad(y, x, gradient, retain_graph=True)[0]
        except OURS:
            raise
        except BaseException as error:
            rule = f"gave no input gradients for {tuple(x.shape)} inputs, as it did before: it {raised(error)}"
            raise TeacherError(
                self.source, rule, remedy="detach its answers, which makes it a black box, or mend it"
            ) from error

    def on(self, device: torch.device, x: Tensor) -> Teacher:
        """The same teacher, taking and giving tensors of a device.

        Where its weights cannot follow, it answers on the host, and its rows and answers travel.

        Args:
            device: of the distillation.
            x: raw rows to try it with, ``(N, D)`` on the host.
        """
        if device.type == "cpu":
            return self
        if self.fast is not None:
            return replace(self, fast=self.fast.on(device))
        if isinstance(self.function, nn.Module):
            moved = replace(self, function=deepcopy(self.function).to(device))
            try:
                with torch.no_grad():
                    self.guard.once(self.source, moved.function, x.to(device, self.dtype))
            except TeacherError:  # a graph may make constants where it was exported
                pass
            else:
                return moved
        function = self.function
        return replace(self, function=lambda x: function(x.cpu()).to(x.device))


def freeze(module: M) -> M:
    """Put a module in evaluation mode, on the CPU, with no parameter that asks for gradients."""
    module = module.to("cpu")
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating dtype of a module's tensors; float32 where it has none."""
    tensors = (*module.parameters(), *module.buffers())
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


def hash_bytes(data: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def hash_module(module: nn.Module) -> str:
    """SHA-256 of a module's tensors, names included."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
