"""Teachers that turn out to be a chain of linear layers, read from their graph and answered faster.

On a CPU ``tanh`` costs about six times as much as ``sigmoid``. With ``tanh(z) = 2 sigmoid(2 z) - 1`` its factors fold into
the neighboring linear layers, which is exact to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..activations import ACTIVATIONS
from .base import Teacher

MODULES: dict[type, str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Identity: "identity",
}
OPERATORS = {"tanh.default": "tanh", "relu.default": "relu", "sigmoid.default": "sigmoid", "silu.default": "silu"}


@dataclass(frozen=True)
class Chain:
    """Linear layers and the activations between them.

    Args:
        layers: ``(weight (out, in), bias (out,))`` in order.
        activations: one name between each two layers.
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    activations: Sequence[str]

    def quick(self) -> QuickChain:
        """The same function with every tanh folded into a sigmoid."""
        folded = [(weight.T.contiguous(), bias.clone()) for weight, bias in self.layers]
        names = list(self.activations)
        for i, name in enumerate(names):
            if name == "tanh":
                (w, b), (v, c) = folded[i], folded[i + 1]
                folded[i] = (2 * w, 2 * b)
                folded[i + 1] = (2 * v, c - v.sum(0))
                names[i] = "sigmoid"
        return QuickChain(tuple(folded), tuple(names))


@dataclass(frozen=True)
class QuickChain:
    """Layers ``(weight (in, out), bias (out,))`` and activations, answered without a module's overhead."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    activations: tuple[str, ...]

    def on(self, device: torch.device) -> QuickChain:
        """The same layers on a device."""
        return replace(self, layers=tuple((weight.to(device), bias.to(device)) for weight, bias in self.layers))

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, D) -> (N, O)``, differentiable by autograd."""
        for (weight, bias), name in zip(self.layers, self.activations, strict=False):
            x = FUNCTIONS[name][0](torch.addmm(bias, x, weight))
        weight, bias = self.layers[-1]
        return torch.addmm(bias, x, weight)

    def record(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The same answers, and their pullback ``(N, O) -> (N, D)``."""
        derivatives = []
        for (weight, bias), name in zip(self.layers, self.activations, strict=False):
            x, derivative = FUNCTIONS[name][1](torch.addmm(bias, x, weight))
            derivatives.append(derivative)
        weight, bias = self.layers[-1]
        return torch.addmm(bias, x, weight), lambda slope: self._pull(slope, derivatives)

    def _pull(self, slope: Tensor, derivatives: list[Tensor]) -> Tensor:
        if (
            slope.shape[1] == 1 and len(derivatives) == 1
        ):  # one product, and nothing as large as the hidden layer besides
            (first, _), (last, _) = self.layers
            return (derivatives[0] @ (last * first.T)).mul_(slope)
        for (weight, _), derivative in zip(reversed(self.layers[1:]), reversed(derivatives), strict=True):
            slope = (slope * weight.T if slope.shape[1] == 1 else slope @ weight.T).mul_(derivative)
        return slope @ self.layers[0][0].T


def _sigmoid_both(z: Tensor) -> tuple[Tensor, Tensor]:
    h = torch.sigmoid(z)
    return h, torch.addcmul(h, h, h, value=-1.0)


FUNCTIONS = {name: (activation.value, activation.both) for name, activation in ACTIVATIONS.items()} | {
    "sigmoid": (torch.sigmoid, _sigmoid_both),
    "identity": (lambda z: z, lambda z: (z, torch.ones_like(z))),
}


def read_chain(module: nn.Module) -> Chain | None:
    """The chain a module computes, or None when it is anything else."""
    # A subclass or a hook may do anything between the layers, and only on rows that no comparison happens to hold.
    if type(module) is nn.Sequential and not any(m._forward_pre_hooks or m._forward_hooks for m in module.modules()):
        return _from_sequential(module)
    if isinstance(module, torch.fx.GraphModule):
        return _from_graph(module)
    return None


def quicken(teacher: Teacher) -> Teacher:
    """The same teacher, answering through its chain where it is one and the answers agree."""
    if not isinstance(teacher.function, nn.Module):
        return teacher
    chain = read_chain(teacher.function)
    if chain is None:
        return teacher
    x = torch.randn(
        64, chain.layers[0][0].shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).to(teacher.dtype)
    try:
        with torch.no_grad():
            fast, plain = chain.quick()(x), teacher.function(x)
    except Exception:
        return teacher  # whatever is wrong with it, the probe says so
    if not isinstance(plain, Tensor) or not torch.isfinite(plain).all():
        return teacher
    close = plain.reshape(fast.shape) if plain.numel() == fast.numel() else None
    if close is None or not torch.allclose(fast, close, rtol=1e-4, atol=1e-5 * float(plain.abs().max() + 1e-30)):
        return teacher
    return replace(teacher, chain=chain, fast=chain.quick())


def _from_sequential(module: nn.Sequential) -> Chain | None:
    layers, names = [], []
    for part in module:
        if type(part) is nn.Linear:
            if len(names) < len(layers):
                names.append("identity")
            bias = part.bias if part.bias is not None else part.weight.new_zeros(part.out_features)
            layers.append((part.weight.detach(), bias.detach()))
        elif type(part) in MODULES and len(names) == len(layers) - 1:
            names.append(MODULES[type(part)])
        elif type(part) is nn.BatchNorm1d and _frozen(part) and len(names) == len(layers) - 1:
            state = (part.weight, part.bias, part.running_mean, part.running_var)
            layers[-1] = _normalized(layers[-1], *state, part.eps)
        elif type(part) is not nn.Dropout:
            return None
    return Chain(layers, names) if layers and len(names) == len(layers) - 1 else None


def _frozen(norm: nn.BatchNorm1d) -> bool:
    """Whether it normalizes by what it saw in training rather than by the batch."""
    return norm.running_mean is not None and not norm.training


def _normalized(layer, weight, bias, mean, variance, eps: float) -> tuple[Tensor, Tensor]:
    """A linear layer ``(out, in)`` with the batch normalization that follows it, as it is in evaluation, folded in."""
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    shift = 0.0 if bias is None else bias
    return (layer[0] * scale[:, None]).detach(), ((layer[1] - mean) * scale + shift).detach()


def _from_graph(module: torch.fx.GraphModule) -> Chain | None:
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    layers, names, current = [], [], None
    for node in module.graph.nodes:
        if node.op == "placeholder":
            if current is not None:
                return None
            current = node
        elif node.op == "call_function":
            target = str(node.target).removeprefix("aten.")
            if not node.args or node.args[0] is not current:
                return None
            if target == "linear.default":
                tensors = [
                    state.get(str(arg.target)) if isinstance(arg, torch.fx.Node) else None for arg in node.args[1:]
                ]
                if not tensors or tensors[0] is None or (len(tensors) > 1 and tensors[1] is None):
                    return None
                if len(names) < len(layers):
                    names.append("identity")
                bias = tensors[1] if len(tensors) > 1 else tensors[0].new_zeros(len(tensors[0]))
                layers.append((tensors[0].detach(), bias.detach()))
            elif target == "batch_norm.default" and node.args[5] is False and len(names) == len(layers) - 1:
                tensors = [None if arg is None else state.get(str(arg.target)) for arg in node.args[1:5]]
                if tensors[2] is None or tensors[3] is None:
                    return None
                layers[-1] = _normalized(layers[-1], *tensors, node.args[7])
            elif target in OPERATORS and len(names) == len(layers) - 1:
                names.append(OPERATORS[target])
            else:
                return None
            current = node
        elif node.op == "call_module":
            if node.users:  # a guard has none
                return None
        elif node.op not in ("get_attr", "output"):
            return None
    return Chain(layers, names) if layers and len(names) == len(layers) - 1 else None
