"""A fast forward pass and VJP for teachers that are a chain of linear layers, read from the module or its graph.

On a CPU ``tanh`` costs about six times as much as ``sigmoid``. By ``tanh(z) = 2 sigmoid(2 z) - 1`` its factors fold
into the neighboring linear layers, which is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import torch
from torch import Tensor, nn

from dfkd_tune.compat.torch import has_forward_hooks, tree_leaves
from dfkd_tune.ops.matmul import few_columns, layer, outer_or_matmul

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
        layers: ``(weight (out, in), bias (out,))`` of each layer, in order.
        activations: name of the activation between each two layers.
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    activations: Sequence[str]

    @property
    def ended(self) -> bool:
        """Whether it ends with a linear layer, without an activation."""
        return len(self.layers) == len(self.activations) + 1

    def quick(self) -> FusedMLP:
        """Return the same function with every tanh folded into a sigmoid."""
        folded = [(weight.T.contiguous(), bias.clone()) for weight, bias in self.layers]
        names = list(self.activations)
        for i, name in enumerate(names):
            if name == "tanh":
                (w, b), (v, c) = folded[i], folded[i + 1]
                folded[i] = (2 * w, 2 * b)
                folded[i + 1] = (2 * v, c - v.sum(0))
                names[i] = "sigmoid"
        return FusedMLP(tuple(folded), tuple(names))


Part = Chain | list[Chain]
"""The value of a graph node: one chain, or several chains in parallel."""


@dataclass(frozen=True)
class FusedMLP:
    """Layers ``(weight (in, out), bias (out,))`` and activations, evaluated without the overhead of modules."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    activations: tuple[str, ...]

    def on(self, device: torch.device) -> FusedMLP:
        """Return the same layers on a device."""
        return replace(self, layers=tuple((weight.to(device), bias.to(device)) for weight, bias in self.layers))

    def between(self, center: Tensor, scale: Tensor, shift: Tensor, spread: Tensor) -> FusedMLP:
        """Return ``z -> (self(center + scale z) - shift) / spread`` with the units folded into the layers."""
        layers = [(weight.double(), bias.double()) for weight, bias in self.layers]
        weight, bias = layers[0]
        layers[0] = scale.double()[:, None] * weight, bias + center.double() @ weight
        weight, bias = layers[-1]
        layers[-1] = weight / spread.double(), (bias - shift.double()) / spread.double()
        like = self.layers[0][0].dtype
        return replace(self, layers=tuple((weight.to(like), bias.to(like)) for weight, bias in layers))

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, D) -> (N, O)``, differentiable by autograd."""
        weight, bias = self.layers[0]
        z = layer(bias, x, weight)
        for (weight, bias), name in zip(self.layers[1:], self.activations, strict=True):
            z = layer(bias, VALUES[name](z), weight)
        return z

    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The outputs ``(N, O)`` and the vector-Jacobian product ``(N, O) -> (N, D)``; both bypass autograd."""
        derivatives: list[Tensor] = []
        weight, bias = self.layers[0]
        z = layer(bias, x, weight)
        for name, (weight, bias) in zip(self.activations, self.layers[1:], strict=True):
            h, derive = TAPED[name](z)
            z = layer(bias, h, weight)
            derivatives.append(derive())
        return z, lambda gradient: self._pull(gradient, derivatives)

    @cached_property
    def _product(self) -> Tensor:
        """Contribution ``(hidden, in)`` of each hidden neuron to the gradient of one output, for one hidden layer."""
        (first, _), (last, _) = self.layers
        return (first * last.T).T

    def _pull(self, gradient: Tensor, derivatives: list[Tensor]) -> Tensor:
        if gradient.shape[1] == 1 and len(derivatives) == 1:
            # One matrix product, without another tensor of the size of the hidden layer.
            return few_columns(derivatives[0], self._product).mul_(gradient)
        for (weight, _), derivative in zip(reversed(self.layers[1:]), reversed(derivatives), strict=True):
            gradient = outer_or_matmul(gradient, weight).mul_(derivative)
        return few_columns(gradient, self.layers[0][0].T)


def _tape_sigmoid(z: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    h = z.sigmoid_()
    return h, lambda: h.addcmul_(h, h, value=-1.0)


def _tape_silu(z: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    s = torch.sigmoid(z)
    h = z.mul_(s)
    return h, lambda: torch.lerp(h, h.new_ones(()), s, out=s)  # s + h (1 - s)


VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid_,
    "relu": torch.relu_,
    "silu": nn.functional.silu,
    "identity": lambda z: z,
}
"""Activations, in place where possible: two copies of a hidden layer do not fit into a core's cache."""
TAPED: dict[str, Callable[[Tensor], tuple[Tensor, Callable[[], Tensor]]]] = {
    "sigmoid": _tape_sigmoid,
    "relu": lambda z: (z.relu_(), lambda: z.gt_(0.0)),
    "silu": _tape_silu,
    "identity": lambda z: (z, lambda: torch.ones_like(z)),
}
"""Activations with a function that returns the derivative; it may overwrite the value, so call it afterwards."""


def read_chain(module: nn.Module) -> Chain | None:
    """Read the chain that a module computes; None for any other module."""
    # A subclass or a hook may change the outputs, perhaps only for rows that the comparison below does not include.
    if type(module) is nn.Sequential and not has_forward_hooks(module):
        return _from_sequential(module)
    if isinstance(module, torch.fx.GraphModule):
        return _from_graph(module)
    return None


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
        elif type(part) is nn.BatchNorm1d and len(names) == len(layers) - 1 and (moments := _moments(part)) is not None:
            layers[-1] = _normalized(layers[-1], part.weight, part.bias, *moments, part.eps)
        elif type(part) is not nn.Dropout:
            return None
    return Chain(layers, names) if layers and len(names) == len(layers) - 1 else None


def _moments(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor] | None:
    """Running mean and variance; None if the layer normalizes by batch statistics."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return None
    return norm.running_mean, norm.running_var


def _normalized(
    layer: tuple[Tensor, Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Fold a batch normalization in evaluation mode into the linear layer ``(out, in)`` before it."""
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    shift = 0.0 if bias is None else bias
    return (layer[0] * scale[:, None]).detach(), ((layer[1] - mean) * scale + shift).detach()


def _from_graph(module: torch.fx.GraphModule) -> Chain | None:
    """The chain that a graph computes from its only input; sums of one-hidden-layer networks are one chain as well."""
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    reached: dict[object, Part] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            if reached:
                return None
            reached[node] = Chain((), ())
        elif node.op == "call_function":
            if (found := _follow(node, reached, state)) is None:
                return None
            reached[node] = found
        elif node.op == "call_module":
            if node.users:  # a guard has none
                return None
        elif node.op == "output":
            answers = tree_leaves(node.args)
            chain = reached.get(answers[0]) if len(answers) == 1 else None
            return chain if isinstance(chain, Chain) and chain.ended else None
        elif node.op != "get_attr":
            return None
    return None


def _follow(node: torch.fx.Node, reached: Mapping[object, Part], state: Mapping[str, Tensor]) -> Part | None:
    """The value of a node from the values of its arguments: a chain or parallel chains; None for anything else."""
    target, args = str(node.target).removeprefix("aten."), node.args
    if target == "stack.default":
        parts = [reached.get(part) for part in args[0]] if isinstance(args[0], list | tuple) else [None]
        chains = [part for part in parts if isinstance(part, Chain)]
        return chains if args[1:] in ((), (0,)) and len(chains) == len(parts) else None
    here = reached.get(args[0]) if args and isinstance(args[0], torch.fx.Node) else None
    if isinstance(here, list):
        share = {"mean.dim": 1 / len(here), "sum.dim_IntList": 1.0}.get(target)
        return _added(here, share) if share is not None and args[1:] == ([0],) else None
    if not isinstance(here, Chain):
        return None
    if target == "add.Tensor" and len(args) == 2 and not node.kwargs:
        return _added([here, reached.get(args[1])], 1.0)
    if target in ("mul.Tensor", "div.Tensor") and isinstance(args[1], int | float):
        return _added([here], args[1] if target == "mul.Tensor" else 1 / args[1]) if here.ended else None
    tensors = [state.get(str(arg.target)) if isinstance(arg, torch.fx.Node) else None for arg in args[1:5]]
    if target == "linear.default":
        held = [tensor for tensor in tensors if tensor is not None]
        if not held or len(held) < len(tensors):
            return None
        names = (*here.activations, "identity") if here.ended else here.activations
        bias = held[1] if len(held) > 1 else held[0].new_zeros(len(held[0]))
        return Chain((*here.layers, (held[0].detach(), bias.detach())), names)
    if target == "batch_norm.default" and len(args) == 9 and here.ended:
        weight, bias, mean, variance = tensors
        *_, training, _, eps, _ = args
        if training is not False or mean is None or variance is None or not isinstance(eps, int | float):
            return None
        return replace(
            here, layers=(*here.layers[:-1], _normalized(here.layers[-1], weight, bias, mean, variance, eps))
        )
    if target in OPERATORS and here.ended:
        return replace(here, activations=(*here.activations, OPERATORS[target]))
    return None


def _added(parts: Sequence[Part | None], share: float) -> Chain | None:
    """``share`` times the sum of one-hidden-layer chains with the same activation, as one chain of all neurons."""
    chains = [part for part in parts if isinstance(part, Chain) and part.ended and len(part.layers) == 2]
    if len(chains) < len(parts) or len({chain.activations[0] for chain in chains}) > 1:
        return None
    hidden, last = [chain.layers[0] for chain in chains], [chain.layers[1] for chain in chains]
    first = torch.cat([weight for weight, _ in hidden]), torch.cat([bias for _, bias in hidden])
    out = share * torch.cat([weight for weight, _ in last], dim=1)
    bias = share * reduce(torch.add, [bias for _, bias in last])
    return Chain((first, (out, bias)), chains[0].activations)
