"""A student of your own: any ``nn.Module`` that a function ``package.module:function`` returns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, vmap

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.students.autograd import AutogradStudent, Raw
from dfkd_tune.utils.object_reference import MODULE_PATH, import_object
from dfkd_tune.utils.strategy import strategy


@strategy
class Module(AutogradStudent):
    """The network that ``function(features, outputs)`` returns, from encoded rows ``(N, E)`` to normalized outputs ``(N, O)``.

    Rows are encoded as ``students.base`` describes. The network must keep no running statistics (no batch normalization), because
    members share one pass.

    Args:
        path: the function, as ``package.module:function``.
    """

    path: Annotated[str, Field(pattern=f"^{MODULE_PATH.pattern}$")] = "torch.nn:Linear"

    def shapes(self, columns: Columns, outputs: int) -> list[tuple[int, ...]]:
        """Shapes of the network's parameters, in the network's order."""
        return [tuple(p.shape) for p in template(self.path, columns.width, outputs).parameters()]

    def structure(self) -> tuple[object, ...]:
        """Key that two students must have in common to share a batched pass."""
        return ("module", self.path)

    def init_params(self, columns: Columns, outputs: int, rng: torch.Generator, dtype: torch.dtype) -> list[Tensor]:
        """Initial weights of the network that the function returns, drawn from the member's random stream."""
        template(self.path, columns.width, outputs)  # remembers the network that ``answer`` looks up by these shapes
        seed = int(torch.randint(2**62, (1,), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = make(self.path, columns.width, outputs)
        return [p.detach().to(dtype) for p in fresh.parameters()]

    def answer(self, weights: Sequence[Tensor], x: Tensor, columns: Columns) -> Tensor:
        network = _KNOWN[self.path, tuple(tuple(weight.shape[1:]) for weight in weights)]
        names = [name for name, _ in network.named_parameters()]

        def one(values: tuple[Tensor, ...], rows: Tensor) -> Tensor:
            answers = functional_call(network, dict(zip(names, values, strict=True)), (rows,))
            return answers.unsqueeze(-1) if answers.ndim == 1 else answers

        return vmap(one)(tuple(weights), x)

    def module(
        self, weights: Sequence[Tensor], columns: Columns, encoding: Encoding, shift: Tensor, spread: Tensor
    ) -> nn.Module:
        """One member as a float32 network from raw rows to raw outputs."""
        with torch.random.fork_rng(devices=[]):
            network = make(self.path, columns.width, len(shift)).float()
        with torch.no_grad():
            for parameter, weight in zip(network.parameters(), weights, strict=True):
                parameter.copy_(weight)
                parameter.requires_grad_(False)
        return Raw(network, encoding, shift, spread).eval()


@cache
def template(path: str, features: int, outputs: int) -> nn.Module:
    """The network whose forward pass all members with this path share; its own weights are not used."""
    with torch.random.fork_rng(devices=[]):
        network = make(path, features, outputs).eval()
    _KNOWN[path, tuple(tuple(p.shape) for p in network.parameters())] = network
    return network


_KNOWN: dict[tuple[str, tuple[tuple[int, ...], ...]], nn.Module] = {}
"""Networks by path and parameter shapes, because a pass over stacked weights knows only these."""


def make(path: str, features: int, outputs: int) -> nn.Module:
    """Call the named function.

    Raises:
        SpecError: if it cannot be imported or called, or does not return a network without running statistics.
    """
    function = import_object(path, SpecError)
    try:
        network = function(features, outputs)
    except Exception as error:
        raise SpecError(
            path, f"the call with ({features}, {outputs}) raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(network, nn.Module):
        raise SpecError(path, f"must return an nn.Module, returned {type(network).__name__}")
    if any(True for _ in network.buffers()):
        raise SpecError(path, "must keep no buffers such as running statistics", remedy="use LayerNorm or GroupNorm")
    return network
