"""Initial weights of a student: random, or from the teacher's neurons."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.recipes.base import Fit, InitContext, Initializer
from dfkd_tune.recipes.refiners import minimize
from dfkd_tune.students.base import Student
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.neuron_pruning import prune
from dfkd_tune.students.shrinking import with_output_layer
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.strategy import strategy

FIT_ROWS = 8_192
"""Largest number of pool rows that the output layer is fitted to."""
WIDE_FRACTION = 0.3
"""Share of the budget for training a wider student before it is pruned."""
HISTORY = 50


@strategy
class Random(Initializer):
    """Random weights, drawn by the architecture."""

    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """One member's weights."""
        return context.student.init_params(context.encoder.columns, context.outputs, rng, context.dtype)


@strategy
class Neurons(Initializer):
    """Cluster the teacher's first-layer neurons, use the centers as the student's first layer, and fit its output layer.

    A student with as many neurons or more takes them as they are.

    Neurons ``[w, b]`` of an odd activation are first given the sign that makes their output weight v positive. Each is weighted by
    its contribution ``|v| std(activation)``. The output layer is fitted by ridge regression on pool rows. If the teacher's layers
    cannot be read, or the student is no perceptron, only the output layer is fitted, and nothing if the student tells no ``hidden``.

    Args:
        surplus: extra neurons as a share of the student's width. The wider student is trained by L-BFGS on pool rows and then
            pruned (``students.neuron_pruning``). It applies only to students with exactly one hidden layer.
    """

    surplus: Annotated[float, Field(ge=0, le=4)] = 0.0

    def budget_fraction(self, student: Student) -> float:
        """Share of the budget that training the wider student uses."""
        return WIDE_FRACTION if self.surplus and isinstance(student, MLP) and student.depth == 1 else 0.0

    def init(self, context: InitContext, rng: torch.Generator) -> list[Tensor]:
        """One member's weights."""
        student, encoder = context.student, context.encoder
        if not isinstance(student, MLP) or not self.budget_fraction(student):
            return _fitted(student, context, rng)
        width, columns = student.width, encoder.columns
        wide = replace(student, width=max(width + 1, round(width * (1 + self.surplus))))
        index = torch.randint(len(context.z), (FIT_ROWS,), generator=rng).to(context.device)
        weight = context.gradient_weight
        gradients = encoder.gradients(context.gradients[index]) if weight and context.gradients is not None else None
        weight = weight if gradients is not None else 0.0
        # A row costs more in the wide student than in the pruned one.
        budget = WIDE_FRACTION * context.row_budget * width / wide.width
        weights = [w.to(context.device) for w in _fitted(wide, context, rng)]
        bank = (encoder.rows(context.z[index]), context.values[index], gradients)
        task = Fit(wide, columns, weight, context.matched)
        weights = minimize(task, weights, bank, max(1, round(budget / FIT_ROWS)), HISTORY)
        return prune(student, weights, bank[0], weight, width, context.matched)


def _fitted(student: Student, context: InitContext, rng: torch.Generator) -> list[Tensor]:
    """Weights with the teacher's neurons as first layer, if they can be read, and an output layer fitted by ridge regression."""
    weights = student.init_params(context.encoder.columns, context.outputs, rng, context.dtype)
    if isinstance(student, MLP) and context.neurons:
        first = _centers(context, student.width, rng) if context.neurons > student.width else _neurons(context)
        own = first[0].shape[1]  # further neurons of a wider student stay as they are
        weights[0][:, :own], weights[1][:own] = (value.to(weights[0]) for value in first)
    rows = min(FIT_ROWS, len(context.z))
    z, goals = context.encoder.rows(context.z[:rows].cpu()), context.values[:rows].cpu()
    return with_output_layer(student, weights, z, goals, context.encoder.columns)


def _neurons(context: InitContext) -> tuple[Tensor, Tensor]:
    """The teacher's neurons over encoded rows: weights ``(E, H)`` and biases ``(H,)``."""
    neurons, _ = context.first_layer()
    return neurons[:, :-1].T, neurons[:, -1]


def _centers(context: InitContext, width: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cluster centers of the teacher's neurons over encoded rows: weights ``(E, H)`` and biases ``(H,)``.

    Of a teacher with no more different neurons than that, these neurons.
    """
    from sklearn.cluster import KMeans

    neurons, share = context.first_layer()
    if len(different := torch.unique(neurons, dim=0)) <= width:
        return different[:, :-1].T.contiguous(), different[:, -1].contiguous()
    seed = int(torch.randint(2**31, (1,), generator=rng))
    means = KMeans(width, n_init=2, random_state=seed)  # pyright: ignore[reportArgumentType]  # its default is a string
    fit = means.fit(neurons.numpy(), sample_weight=share.numpy())
    centers = torch.from_numpy(fit.cluster_centers_)
    return centers[:, :-1].T.contiguous(), centers[:, -1].contiguous()


INITIALIZERS: Registry[type[Initializer]] = Registry(
    "initializers", Initializer, {"random": Random, "neurons": Neurons}
)
