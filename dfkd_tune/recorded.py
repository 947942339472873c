"""Studies on record, to look at."""

from __future__ import annotations

import json

import optuna

from .agreement import TOGETHER
from .errors import DfkdError, NotFound
from .places import existing, sqlite_file
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


def standing_of(storage_url: str, name: str, trials: int) -> tuple[int | None, int]:
    """The population that a study was recorded with, None where it is new, and how many of so many trials have not ended."""
    file = sqlite_file(storage_url)
    if file is not None and not file.exists():
        return None, trials
    try:
        study = load_study(storage_url, name)
    except DfkdError:  # whoever opens it for good says what is wrong
        return None, trials
    ended = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return study.user_attrs.get(TOGETHER), max(0, trials - ended)


def recipe_of(trial: optuna.trial.FrozenTrial) -> Recipe:
    """The recipe of a finished trial."""
    return from_tree(json.loads(trial.user_attrs["recipe"]), f"trial {trial.number}")
