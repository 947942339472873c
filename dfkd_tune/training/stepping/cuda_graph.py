"""Student steps as a CUDA graph: recorded once, then started with one launch a step.

A step of a cohort is some hundred small operations. A GPU does each in a few microseconds, and the processor takes longer to start it.
A graph starts all of them at once (CUDA C++ Programming Guide, "CUDA Graphs").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOG = logging.getLogger(__name__)
WARM = 20
"""Steps before a step is recorded: libraries set themselves up in them, and a cohort that ends earlier is not worth a recording."""
Counter = tuple[object, str]
"""An object and the name of its attribute that counts."""


def on_device(part: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device. A GPU is not waited for: it goes on with its work meanwhile."""
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)


def stacked(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tensors ``(n, ...)`` of K members, stacked ``(n, K, ...)`` on a device, which is not waited for.

    For a GPU, the host copies each as it lies, and the GPU changes the order.
    """
    if device.type != "cuda":
        return torch.stack(list(parts), dim=1).to(device)
    held = torch.empty(len(parts), *parts[0].shape, dtype=parts[0].dtype, pin_memory=True)
    return torch.stack(list(parts), out=held).to(device, non_blocking=True).transpose(0, 1)


class GraphedSteps:
    """Replays a step whose tensors keep their shapes and addresses.

    Args:
        step: takes one step on the device. Its arguments are the step's part of each plan. It does nothing on the host but count.
        counters: lists what it counts. Each step adds the same.
        rows: most steps in one call.
    """

    def __init__(self, step: Callable[..., None], counters: Callable[[], list[Counter]], rows: int) -> None:
        self._step, self._counters, self._rows = step, counters, rows
        self._warm, self._gave_up = 0, False
        self._plans: list[Tensor] = []
        self._at = torch.zeros(0)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._added: list[int] = []

    def run(self, plans: Sequence[Tensor], steps: int) -> int:
        """Take steps, and return how many: all, or none before there is a recording.

        Args:
            plans: tensors ``(n, ...)`` on the device, with the steps first.
            steps: that are wanted.
        """
        if steps < 1 or self._gave_up:
            return 0
        if self._graph is None:
            if self._warm < WARM:
                self._warm += steps
                return 0
            if not self._record(plans):
                return 0
        assert self._graph is not None  # recorded
        for kept, plan in zip(self._plans, plans, strict=True):
            kept[:steps].copy_(plan[:steps])
        self._at.zero_()
        for _ in range(steps):
            self._graph.replay()
        for (owner, name), added in zip(self._counters(), self._added, strict=True):
            setattr(owner, name, getattr(owner, name) + steps * added)
        return steps

    def _record(self, plans: Sequence[Tensor]) -> bool:
        """Record the step; returns whether that was possible."""
        self._plans = [plan.new_zeros(self._rows, *plan.shape[1:]) for plan in plans]
        self._at = torch.zeros(1, dtype=torch.long, device=plans[0].device)
        counters = self._counters()
        before = [getattr(owner, name) for owner, name in counters]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step(*(kept.index_select(0, self._at).squeeze(0) for kept in self._plans))
                self._at.add_(1)
            self._graph = graph
        except RuntimeError as error:  # the host takes part in it
            LOG.info("steps are started one by one: %s", str(error).partition("\n")[0])
            self._gave_up = True
        after = [getattr(owner, name) for owner, name in counters]
        self._added = [int(now - then) for now, then in zip(after, before, strict=True)]
        for (owner, name), then in zip(counters, before, strict=True):
            setattr(owner, name, then)  # nothing was computed
        return not self._gave_up
