"""Named recipes: the published methods, and our defaults for each kind of teacher."""

from __future__ import annotations

from dataclasses import replace

from dfkd_tune.generators.adversarial import Adversarial
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.generators.rounds.committee import Committee
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.recipes.initializers import Neurons, Random
from dfkd_tune.recipes.input_bounds import Linf, Steps
from dfkd_tune.recipes.losses import MSE, Sobolev
from dfkd_tune.recipes.mixing import Constant
from dfkd_tune.recipes.optimizers import Adam, AdamW
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.recipes.refiners import LBFGS, NoRefiner

RANDOM = Recipe(generator=Gaussian(), alpha=Constant(0.0))
"""Random sampling, the baseline of both papers: 100 prior rows in every step."""

ADVERSARIAL = Recipe(generator=Adversarial())
"""Kang & Kang 2021 with decreasing alpha, as re-run in the 2023 paper."""

PAPER = Recipe()
"""Zhou & Chiam 2023: direct optimization, decreasing alpha, 2000 epochs of 10 steps."""

FAITHFUL = Recipe(
    initializer=Neurons(surplus=0.2),
    loss=Sobolev(weight=1.5),
    refiner=LBFGS(),
    input_bound=Linf(radius=0.3),
    alpha=Constant(0.5),
)
"""For shallow teachers, several times as fast as ``SHALLOW``: start from the teacher's neurons, match its input gradients, finish with
L-BFGS on a frozen bank."""

ROUGH = replace(
    FAITHFUL,
    generator=Skewed(spread=1.0, shared=0.3),
    input_bound=Steps(),
    initializer=Random(),
    loss=Sobolev(weight=0.3),
    optimizer=Adam(lr=3e-3, schedule="cosine"),
    refiner=NoRefiner(),
)
"""Our default for deep teachers and those with kinks: small initial weights, new rows until the end, a falling learning rate.

Such a teacher is unreliable far from its training data, and a small student cannot match it everywhere. So the rows are shaped like
measured data: the student becomes accurate where real inputs are likely.
"""

SHALLOW = replace(ROUGH, generator=Skewed(), initializer=Neurons())
"""Our default for shallow teachers: start from the teacher's neurons, new rows until the end.

A smaller student cannot match the teacher on all rows of a frozen bank, on which L-BFGS would end.
"""

BLACK_BOX = replace(ROUGH, loss=MSE())
"""The same for a black-box teacher, which has no gradients."""

FEW_QUERIES = replace(
    BLACK_BOX,
    generator=Committee(),
    alpha=Constant(0.0),
    optimizer=AdamW(lr=3e-3, schedule="cosine", weight_decay=0.3, averaging=0.99),
)
"""Our default within a total number of queries: rows that all trials share, asked where students disagree, and decayed weights."""

PRESETS = {
    "random": RANDOM,
    "adversarial": ADVERSARIAL,
    "paper": PAPER,
    "faithful": FAITHFUL,
    "rough": ROUGH,
    "shallow": SHALLOW,
    "black_box": BLACK_BOX,
    "few_queries": FEW_QUERIES,
}
