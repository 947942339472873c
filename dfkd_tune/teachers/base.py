"""The interface of a teacher: ``Teacher``, a frozen function with optional input gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.row_form import RowForm
from dfkd_tune.layouts.signature import UNNAMED, Signature, value_names
from dfkd_tune.teachers.guarded import OURS, Guard
from dfkd_tune.teachers.kept_rows import KeptRows
from dfkd_tune.utils.object_reference import raised
from dfkd_tune.utils.user_code import Confined

M = TypeVar("M", bound=nn.Module)


class Layers(Protocol):
    """A chain of linear layers ``(weight (out, in), bias (out,))`` and the names of the activations between them."""

    @property
    def layers(self) -> Sequence[tuple[Tensor, Tensor]]: ...

    @property
    def activations(self) -> Sequence[str]: ...


class FastForward(Protocol):
    """A forward pass ``(N, D) -> (N, O)`` whose layers are known."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The outputs ``(N, O)`` and the vector-Jacobian product ``(N, O) -> (N, D)``."""
        ...

    def on(self, device: torch.device) -> FastForward:
        """Return the same layers on a device."""
        ...

    def between(self, center: Tensor, scale: Tensor, shift: Tensor, spread: Tensor) -> FastForward:
        """``z -> (self(center + scale z) - shift) / spread``."""
        ...


@dataclass(frozen=True)
class Teacher:
    """A frozen function from raw inputs ``(N, D)`` to outputs ``(N, O)``.

        dt.load_teacher("teacher.pt2")(torch.tensor([[2.5, 0.1]]))

    Args:
        source: file, URI or module path it was loaded from, for messages and records.
        function: the forward pass; its output may be ``(N,)`` or ``(N, O)``. A format may give one that takes the
            teacher's own arguments, with its ``signature``; ``teachers.signatures.arranged`` makes it a function of flat rows.
        dtype: dtype of its inputs.
        sha256: hash of the model file; for a module path, hash of the weights or of the source code.
        width: number of input features D, if the file declares it.
        chain: its layers, if it is a chain of linear layers.
        fast: a faster forward pass with the same outputs, if there is one.
        estimator: the fitted scikit-learn estimator behind it, if there is one.
        signature: its own arguments and outputs, as far as they are known; None if nothing is.
        layout: how they lie in flat rows; None for a teacher that takes and returns flat rows itself.
        form: how it takes and returns flat rows.
        kept: rows that were answered already, for a teacher each of whose answers has a price.
        guard: runs ``function`` and turns its failures into ``TeacherError``; copies of a teacher share it.
    """

    source: str
    function: Callable[..., Any]
    dtype: torch.dtype
    sha256: str
    width: int | None = None
    chain: Layers | None = None
    fast: FastForward | None = None
    estimator: Any = None
    signature: Signature | None = None
    layout: Layout | None = None
    form: RowForm = field(default_factory=RowForm)
    kept: KeptRows | None = field(default=None, compare=False, repr=False)
    guard: Guard = field(default_factory=Guard, compare=False, repr=False)

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None if they cannot be counted."""
        if not isinstance(self.function, nn.Module):
            return None
        return sum(p.numel() for p in self.function.parameters()) or None

    def output_names(self, outputs: int) -> list[str]:
        """Names of its flat outputs: those that it declares, and ``0``, ``1``, ... otherwise.

        Args:
            outputs: their number O.
        """
        if self.layout is not None and self.layout.signature.outputs is not None:
            return self.layout.output_names
        known = self.signature.outputs if self.signature is not None else None
        if known is None or len(known) != 1 or known[0].name == UNNAMED or known[0].width != outputs:
            return [str(i) for i in range(outputs)]
        return value_names(known[0].name, known[0].shape)

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate rows ``(N, D)``; returns ``(N, O)`` in the dtype of ``x``. ``vjp`` gives gradients; a call may compute without autograd.

        Raises:
            TeacherError: its code fails; the message shows a row.
        """
        rows = x.to(self.dtype)
        if self.fast is not None:
            y = self.fast(rows)
        elif self.kept is not None:
            y = self.kept.query(lambda new: self.guard.call(self.source, self.function, new), rows)
        else:
            y = self.guard.call(self.source, self.function, rows)
        return y.to(x.dtype)

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The outputs ``(N, O)`` and the vector-Jacobian product ``(N, O) -> (N, D)``; raises what a call raises."""
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
                self.source, rule, remedy="detach its outputs, which makes it a black box, or correct its backward pass"
            ) from error

    def on(self, device: torch.device, x: Tensor) -> Teacher:
        """Return the same teacher for tensors on a device.

        If its weights cannot move to the device, it runs on the CPU, and rows and outputs are copied.

        Args:
            device: device of the distillation.
            x: ``(N, D)`` raw rows on the CPU, to try the moved teacher with.
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
            except TeacherError:  # an exported graph may create constants on the device of its export
                pass
            else:
                return moved
        function = self.function
        return replace(self, function=lambda x: function(x.cpu()).to(x.device))


def freeze(module: M) -> M:
    """Move a module to the CPU, in evaluation mode, with no parameter that requires gradients."""
    module = module.to("cpu")
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point dtype of a module's tensors; float32 if it has none."""
    tensors = (*module.parameters(), *module.buffers())
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


def hash_bytes(data: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def hash_module(module: nn.Module) -> str:
    """SHA-256 of a module's state dict: names and tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
