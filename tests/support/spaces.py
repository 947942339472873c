"""Search spaces, and the recipes that a random sampler gets from them."""

import optuna

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.recipes.assistants import ASSISTANTS
from dfkd_tune.recipes.recipe import SECTIONS

SIZE = (Columns(4), 2)


LOG = {"low": 1e-4, "high": 1e-2, "log": True}


WIDE = {f"{section}.kind": [*kinds] for section, kinds in SECTIONS.items() if section != "student"} | {
    "assistant.kind": [name for name, kind in ASSISTANTS.items() if not kind().committee],  # these need a total
    "bound.threshold": {"low": 0.02, "high": 2.0, "log": True},
    "input_bound.radius": {"low": 0.03, "high": 1.7},
    "alpha.value": {"low": 0.1, "high": 0.9},
    "optimizer.lr": LOG,
    "optimizer.schedule": ["constant", "cosine"],
}


def suggested(space, trials=60, seed=0):
    """Recipes that a random sampler gets from a space, and their parameters."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(trials):
        trial = study.ask()
        yield space.suggest(trial), trial.params
