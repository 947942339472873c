"""``Program``: a network as a list of layers, with its vector-Jacobian product by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dfkd_tune.teachers.fused.arithmetic import Affine
from dfkd_tune.teachers.fused.base import Layer, Pullback


@dataclass(frozen=True)
class Step:
    """One layer of a program.

    Args:
        layer: the layer.
        inputs: numbers of the values that it takes: 0 for the rows, ``i + 1`` for the value of step ``i``.
    """

    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A forward pass ``(N, D) -> (N, O)`` without autograd; the value of its last step ``(O, N)`` are the outputs."""

    steps: tuple[Step, ...]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The outputs ``(N, O)`` of rows ``(N, D)``; not differentiable by autograd."""
        values = [x.mT.contiguous()]
        for step in self.steps:
            values.append(step.layer.value(*(values[i] for i in step.inputs)))
        return values[-1].mT.contiguous()

    @torch.no_grad()
    def vjp(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The outputs ``(N, O)`` and the vector-Jacobian product ``(N, O) -> (N, D)``."""
        values, pulls = [x.mT.contiguous()], []
        for step in self.steps:
            value, pull = step.layer.vjp(*(values[i] for i in step.inputs))
            values.append(value)
            pulls.append(pull)
        return values[-1].mT.contiguous(), lambda gradient: self._pull(gradient.mT.contiguous(), pulls)

    @torch.no_grad()
    def _pull(self, gradient: Tensor, pulls: list[Pullback]) -> Tensor:
        gradients: dict[int, Tensor] = {len(self.steps): gradient}
        for number in range(len(self.steps), 0, -1):
            step, found = self.steps[number - 1], gradients.pop(number)
            for i, part in zip(step.inputs, pulls[number - 1](found), strict=True):
                gradients[i] = gradients[i] + part if i in gradients else part
        return gradients[0].mT.contiguous()

    def on(self, device: torch.device) -> Program:
        """Return the same layers on a device."""
        return Program(tuple(replace(step, layer=step.layer.on(device)) for step in self.steps))

    def between(self, center: Tensor, scale: Tensor, shift: Tensor, spread: Tensor) -> Program:
        """Return ``z -> (self(center + scale z) - shift) / spread``."""
        before = Affine(scale[:, None], center[:, None])
        outer = ((1 / spread)[:, None], (-shift / spread)[:, None])
        after = Affine(*(part.to(center.dtype) for part in outer))
        later = [Step(step.layer, tuple(i + 1 for i in step.inputs)) for step in self.steps]
        return Program((Step(before, (0,)), *later, Step(after, (len(later) + 1,)))).simplified()

    def simplified(self) -> Program:
        """The same function with fewer operations: see ``_PASSES``."""
        found = _alive(self.steps)
        for simplify in _PASSES:
            found = simplify(found)
        return Program(tuple(found))


def _alive(steps: Iterable[Step]) -> list[Step]:
    """Without the steps whose value nobody takes."""
    every = list(steps)
    taken = {len(every)}
    for number in range(len(every), 0, -1):
        if number in taken:
            taken.update(every[number - 1].inputs)
    return _renumbered(every, {number: number for number in taken})


def _renumbered(steps: list[Step], kept: dict[int, int]) -> list[Step]:
    """Only the steps that stand for themselves in ``kept``, which maps each number to the one that replaces it."""
    new = {0: 0}
    found = []
    for number, step in enumerate(steps, start=1):
        if kept.get(number) == number:
            found.append(Step(step.layer, tuple(new[_root(i, kept)] for i in step.inputs)))
            new[number] = len(found)
    return found


def _root(number: int, kept: dict[int, int]) -> int:
    while number and kept[number] != number:
        number = kept[number]
    return number


def _users(steps: list[Step]) -> dict[int, list[int]]:
    """The numbers of the steps that take each value, once for each time they take it."""
    found: dict[int, list[int]] = {number: [] for number in range(len(steps) + 1)}
    for number, step in enumerate(steps, start=1):
        for i in step.inputs:
            found[i].append(number)
    return found


def _without_unused(steps: list[Step]) -> list[Step]:
    """Layers make only the steps that their users take."""
    steps, kept = list(steps), {number: number for number in range(1, len(steps) + 1)}
    for number, users in _users(steps).items():
        if not number or not users:
            continue
        rest = steps[number - 1].layer.without_unused([steps[user - 1].layer for user in users])
        if rest is None:
            continue
        steps[number - 1] = replace(steps[number - 1], layer=rest[0])
        for user, layer in zip(users, rest[1], strict=True):
            if layer is None:
                kept[user] = number
            else:
                steps[user - 1] = replace(steps[user - 1], layer=layer)
    return _renumbered(steps, kept)


def _folded(steps: list[Step]) -> list[Step]:
    """Affine maps of channels become part of the layer before them."""
    steps, kept = list(steps), {number: number for number in range(1, len(steps) + 1)}
    users = _users(steps)
    for number, step in enumerate(steps, start=1):
        before = step.inputs[0]
        if not isinstance(step.layer, Affine) or not before or len(users[before]) > 1 or kept[before] != before:
            continue
        by_channel = {*step.layer.scale.shape[1:], *step.layer.shift.shape[1:]} == {1}
        folded = steps[before - 1].layer.scaled(step.layer.scale, step.layer.shift) if by_channel else None
        if folded is not None:
            steps[before - 1] = replace(steps[before - 1], layer=folded)
            kept[number] = before
    return _renumbered(steps, kept)


def _overwriting(steps: list[Step]) -> list[Step]:
    """Activations overwrite a value that nobody else reads."""
    times = Counter(i for step in steps for i in step.inputs)
    found = []
    for step in steps:
        before = step.inputs[0]
        free = before > 0 and times[before] == 1 and steps[before - 1].layer.overwritable
        overwriting = step.layer.overwriting() if free else None
        found.append(step if overwriting is None else replace(step, layer=overwriting))
    return found


_PASSES: tuple[Callable[[list[Step]], list[Step]], ...] = (_without_unused, _folded, _overwriting)
