"""How a student starts: from random weights, or from the teacher's own neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.inputs.encoding import Encoder
from dfkd_tune.recipes.refiners import minimize
from dfkd_tune.students.neuron_pruning import prune
from dfkd_tune.utils.strategy import strategy

ROWS = 8_192
"""Pool rows that the output layer is fitted to."""
RIDGE = 1e-4
SHARE = 0.3
"""Of the budget that training a wider student takes before it is pruned."""
HISTORY = 50


@dataclass(frozen=True)
class InitContext:
    """What an initializer may know of the distillation that it begins.

    Args:
        student: the architecture.
        encoder: of raw standardized rows into what a student takes.
        z, values, gradients: the pool ``(P, D)``, the teacher's outputs ``(P, O)`` and its input gradients ``(P, O, D)`` or None.
        outputs: of the teacher.
        dtype, device: of the weights.
        neurons: in the first layer of the teacher; 0 where its layers cannot be read.
        first_layer: makes them, ``[w, b]`` ``(N, E + 1)`` over encoded rows, with what each contributes, ``(N,)``.
        gradient_weight: of the input gradients in the loss.
        matched: which columns ``(E,)`` have gradients that count; None where all have.
        row_budget: rows that the whole trial trains on.
    """

    student: Any
    encoder: Encoder
    z: Tensor
    values: Tensor
    gradients: Tensor | None
    outputs: int
    dtype: torch.dtype
    device: torch.device
    neurons: int
    first_layer: Callable[[], tuple[Tensor, Tensor]]
    gradient_weight: float
    matched: Tensor | None
    row_budget: int


@strategy
class Random:
    """Weights as the architecture draws them."""

    def budget_fraction(self, student) -> float:
        """Of the budget that the start takes."""
        return 0.0

    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """One member's weights."""
        return context.student.init_params(context.encoder.encoding.width, context.outputs, rng, context.dtype)


@strategy
class Neurons:
    """Cluster the teacher's first-layer neurons, take the centers as the student's first layer, fit its output layer.

    Neurons ``[w, b]`` of an odd activation are first turned so that their output weight is positive, and each weighs
    ``|v| std(activation)``, what it contributes. The output layer is a ridge regression on pool rows. Where the
    teacher's layers cannot be read, or the student is no perceptron, only the output layer is fitted.

    Args:
        surplus: neurons above the student's width, as a share of it. The wider student is trained by L-BFGS on pool rows and
            pruned to its width (see ``pruning``); a student of several hidden layers, or with none, has no surplus.
    """

    surplus: Annotated[float, Field(ge=0, le=4)] = 0.0

    def budget_fraction(self, student) -> float:
        """Of the budget that the start takes."""
        return SHARE if self.surplus and getattr(student, "depth", 0) == 1 else 0.0

    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """One member's weights."""
        student, encoder = context.student, context.encoder
        if not self.budget_fraction(student):
            return _fitted(student, context, rng)
        wide = replace(student, width=max(student.width + 1, round(student.width * (1 + self.surplus))))
        index = torch.randint(len(context.z), (ROWS,), generator=rng).to(context.device)
        weight = context.gradient_weight
        gradients = encoder.gradients(context.gradients[index]) if weight and context.gradients is not None else None
        weight = weight if gradients is not None else 0.0
        # A row costs a wide student more than the student it becomes.
        budget = SHARE * context.row_budget * student.width / wide.width
        weights = [w.to(context.device) for w in _fitted(wide, context, rng)]
        bank = (encoder.rows(context.z[index]), context.values[index], gradients)
        weights = minimize(wide, weights, bank, weight, max(1, round(budget / ROWS)), HISTORY, context.matched)
        return prune(student, weights, bank[0], weight, student.width, context.matched)


def _fitted(student: Any, context: InitContext, rng: torch.Generator) -> list[Tensor]:
    """The teacher's neurons as the first layer, where they can be read, and an output layer fitted by ridge regression."""
    weights = student.init_params(context.encoder.encoding.width, context.outputs, rng, context.dtype)
    if not hasattr(student, "hidden"):
        return weights
    if context.neurons > student.width:
        first = _centers(context, student.width, rng)
        weights[0], weights[1] = (value.to(weights[0]) for value in first)
    rows = min(ROWS, len(context.z))
    z, goals = context.encoder.rows(context.z[:rows].cpu()), context.values[:rows].cpu()
    seen = student.hidden([w.unsqueeze(0) for w in weights], z.unsqueeze(0))[0].double()
    seen = torch.cat([seen, torch.ones(rows, 1, dtype=seen.dtype)], dim=1)
    gram = seen.T @ seen / rows + RIDGE * torch.eye(seen.shape[1], dtype=seen.dtype)
    fitted = torch.linalg.solve(gram, seen.T @ goals.double() / rows)
    weights[-2], weights[-1] = fitted[:-1].to(weights[-2]), fitted[-1].to(weights[-1])
    return weights


def _centers(context: InitContext, width: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clustered neurons over encoded rows: weights ``(E, H)`` and biases ``(H,)``."""
    from sklearn.cluster import KMeans

    neurons, share = (part.numpy() for part in context.first_layer())
    seed = int(torch.randint(2**31, (1,), generator=rng))
    fit = KMeans(width, n_init=2, random_state=seed).fit(neurons, sample_weight=share)
    centers = torch.from_numpy(fit.cluster_centers_)
    return centers[:, :-1].T.contiguous(), centers[:, -1].contiguous()


INITIALIZERS = {"random": Random, "neurons": Neurons}
