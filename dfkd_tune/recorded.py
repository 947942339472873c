"""Studies on record, to look at."""

from __future__ import annotations

import json

import optuna

from .errors import NotFound
from .places import existing
from .recipe import Recipe, from_tree
from .storage import open_storage


def load_study(storage_url: str, name: str) -> optuna.Study:
    """An existing study, to look at.

    Raises:
        NotFound: when there is none of that name, the message naming those that exist.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(existing(storage_url, f"study {name!r}"))
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise NotFound(f"study {name!r}", "does not exist here", remedy=f"known: {known}") from None


def recipe_of(trial: optuna.trial.FrozenTrial) -> Recipe:
    """The recipe of a finished trial."""
    return from_tree(json.loads(trial.user_attrs["recipe"]), f"trial {trial.number}")
