"""How a student starts: from random weights, or from the teacher's own neurons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from dfkd_tune.recipes.refiners import minimize
from dfkd_tune.students.neuron_pruning import prune
from dfkd_tune.utils.strategy import strategy

if TYPE_CHECKING:
    from dfkd_tune.recipes.recipe import Recipe
    from dfkd_tune.training.problem import Problem

ROWS = 8_192
"""Pool rows that the output layer is fitted to."""
RIDGE = 1e-4
SHARE = 0.3
"""Of the budget that training a wider student takes before it is pruned."""
HISTORY = 50


@strategy
class Random:
    """Weights as the architecture draws them."""

    def share(self, student) -> float:
        """Of the budget that the start takes."""
        return 0.0

    def begin(self, recipe: Recipe, problem: Problem, rng: torch.Generator) -> list[Tensor]:
        return recipe.student.start(problem.encoded, problem.outputs, rng, problem.dtype)


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

    def share(self, student) -> float:
        """Of the budget that the start takes."""
        return SHARE if self.surplus and getattr(student, "depth", 0) == 1 else 0.0

    def begin(self, recipe: Recipe, problem: Problem, rng: torch.Generator) -> list[Tensor]:
        student = recipe.student
        if not self.share(student):
            return _fitted(student, problem, rng)
        wide = replace(student, width=max(student.width + 1, round(student.width * (1 + self.surplus))))
        index = torch.randint(len(problem.pool), (ROWS,), generator=rng).to(problem.device)
        pool, weight = problem.pool, getattr(recipe.loss, "weight", 0.0)
        slopes = problem.encoder.slopes(pool.slopes[index]) if weight and pool.slopes is not None else None
        weight = weight if slopes is not None else 0.0
        # A row costs a wide student more than the student it becomes.
        budget = SHARE * recipe.steps * recipe.batch * student.width / wide.width
        weights = [w.to(problem.device) for w in _fitted(wide, problem, rng)]
        bank = (problem.encoder.rows(pool.z[index]), pool.values[index], slopes)
        weights = minimize(wide, weights, bank, weight, max(1, round(budget / ROWS)), HISTORY, problem.matched)
        return prune(student, weights, bank[0], weight, student.width, problem.matched)


def _fitted(student, problem: Problem, rng: torch.Generator) -> list[Tensor]:
    """The teacher's neurons as the first layer, where they can be read, and an output layer fitted by ridge regression."""
    weights = student.start(problem.encoded, problem.outputs, rng, problem.dtype)
    if not hasattr(student, "hidden"):
        return weights
    chain = problem.teacher.chain
    if chain is not None and len(chain.layers) > 1 and len(chain.layers[0][0]) > student.width:
        first = _centers(problem, student.width, rng)
        weights[0], weights[1] = (value.to(weights[0]) for value in first)
    rows = min(ROWS, len(problem.pool))
    z, goals = problem.encoder.rows(problem.pool.z[:rows].cpu()), problem.pool.values[:rows].cpu()
    seen = student.hidden([w.unsqueeze(0) for w in weights], z.unsqueeze(0))[0].double()
    seen = torch.cat([seen, torch.ones(rows, 1, dtype=seen.dtype)], dim=1)
    gram = seen.T @ seen / rows + RIDGE * torch.eye(seen.shape[1], dtype=seen.dtype)
    fitted = torch.linalg.solve(gram, seen.T @ goals.double() / rows)
    weights[-2], weights[-1] = fitted[:-1].to(weights[-2]), fitted[-1].to(weights[-1])
    return weights


def _centers(problem: Problem, width: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clustered neurons over encoded rows: weights ``(E, H)`` and biases ``(H,)``."""
    from sklearn.cluster import KMeans

    neurons, share = (part.numpy() for part in problem.neurons)
    seed = int(torch.randint(2**31, (1,), generator=rng))
    fit = KMeans(width, n_init=2, random_state=seed).fit(neurons, sample_weight=share)
    centers = torch.from_numpy(fit.cluster_centers_)
    return centers[:, :-1].T.contiguous(), centers[:, -1].contiguous()


STARTS = {"random": Random, "neurons": Neurons}
