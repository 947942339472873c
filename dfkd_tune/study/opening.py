"""Open a study: check that an existing one matches the requested one, and record what joining workers need."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import optuna

from dfkd_tune.errors import FeaturesError, StorageError, StudyMismatch
from dfkd_tune.locations.paths import sqlite_file, store_of, without_credentials
from dfkd_tune.search.attributes import (
    DEADLINE,
    DECLARED,
    GROUPS,
    HOST,
    IDENTITY,
    POOL,
    POOL_GRADIENTS,
    POPULATION,
    SPEC,
    TEACHER,
    TIER,
    TRACKING,
    WORKERS,
    StudyRecord,
)
from dfkd_tune.search.dashboard import name_objectives
from dfkd_tune.search.locks import exclusive
from dfkd_tune.search.optuna_kinds import AUTO
from dfkd_tune.search.sampling import open_study, without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.study_file import as_tree
from dfkd_tune.search.trial_queue import TrialQueue, host_of
from dfkd_tune.study.prepare import Prepared, located
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking import tracker
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.quoting import quoted

LOG = logging.getLogger(__name__)
FREE = {
    "study.name",
    "study.trials",
    "study.timeout",
    "study.population",
    "study.leaders",
    "study.reruns",
    "budget.pool",
    "budget.total_queries",
}
"""Leaves of a study file that a resume may change, or that are checked separately."""
FREE_SECTIONS = {"sampler", "pruner"}
"""Sections of which a resume may change every leaf."""
MOST_CHANGES = 6
"""Largest number of keys of a features file that a message tells."""
LONGEST = 50_000
"""Largest number of characters of a features file that is recorded, to tell what a later one changes."""


def open_queue(
    prepared: Prepared, storage_url: str, tracking_uri: str, joining: bool = False, workers: int = 1
) -> tuple[optuna.Study, TrialQueue]:
    """Open or create a study and its trial queue for ``workers`` processes; otherwise arguments and errors are as in ``run_study``."""
    if store_of(storage_url) == store_of(tracking_uri):
        shown = without_credentials(storage_url)
        raise StorageError(shown, "cannot be Optuna's and MLflow's database at once", remedy="give each its own")
    if not joining:
        hashes = {k: v for k, v in prepared.tags().items() if k in (tag.TEACHER_SHA256, tag.FEATURES_SHA256)}
        tracker.ready(tracking_uri, storage_url, prepared.spec.name, hashes)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec, about, storage = prepared.spec, prepared.spec.study, open_storage(storage_url)
    with without_experimental_warnings(), exclusive(storage, storage_url):
        study = open_study(storage, prepared.spec.name, about.seed, 2 if about.pareto else 1, spec.sampler, spec.pruner)
        agree(study, prepared)
        name_objectives(study, storage, [about.objective, *([about.pareto] if about.pareto else [])])
        queue = TrialQueue(study, storage, prepared.space.initial_points())
        one_machine(queue, storage_url)
        if not joining:
            record(study, prepared, tracking_uri, workers)
        queue.make(about.trials)
    return study, queue


def agree(study: optuna.Study, prepared: Prepared) -> None:
    """Record the identity of a new study; raise ``StudyMismatch`` if a different study has this name."""
    mine = json.loads(json.dumps(prepared.identity()))
    on_record = StudyRecord.of(study)
    if not on_record.identity:
        if prepared.total is None:
            study.set_user_attr(POOL, prepared.sizes.pool)
            study.set_user_attr(POOL_GRADIENTS, prepared.sizes.gradients)
        study.set_user_attr(TEACHER, Path(prepared.spec.teacher.path).name)
        study.set_user_attr(TIER, prepared.inputs.tier)
        if declared := _declared(prepared):
            study.set_user_attr(DECLARED, declared)
        study.set_user_attr(IDENTITY, mine)  # last, because it marks the others as complete
    elif on_record.identity != mine:
        settings = (on_record.spec, _tree(prepared), on_record.declared, _declared(prepared))
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with another {difference(on_record.identity, mine, *settings)}",
            remedy="give --name for a new study, or restore what changed",
        )
    on_record = StudyRecord.of(study)
    if prepared.spec.budget.pool not in (None, on_record.pool):
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with budget.pool {on_record.pool}",
            remedy="give --name for a new study",
        )
    if on_record.population is None or prepared.spec.study.population not in (None, on_record.population):
        study.set_user_attr(POPULATION, prepared.population)


def record(study: optuna.Study, prepared: Prepared, tracking_uri: str, workers: int) -> None:
    """Record what a worker needs to join: the study file with absolute paths and without credentials."""
    tree, timeout = _tree(prepared), prepared.spec.study.timeout
    for section, before in ((name, (StudyRecord.of(study).spec or tree).get(name, AUTO)) for name in FREE_SECTIONS):
        if before != (now := tree.get(section, AUTO)):
            change = (study.study_name, section, quoted(before), quoted(now))
            LOG.warning("study %s: the %s was %s, and is %s from now on", *change)
    for name, value in {
        SPEC: tree,
        DEADLINE: None if timeout is None else time.time() + timeout,
        HOST: socket.gethostname(),
        TRACKING: without_credentials(tracking_uri),
        WORKERS: workers,
        GROUPS: prepared.groups_of(StudyRecord.of(study).groups),
    }.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)


def _tree(prepared: Prepared) -> dict[str, Any]:
    """The study file as plain values with absolute paths."""
    tree = as_tree(prepared.spec)
    tree["teacher"] = {key: located(path) for key, path in tree["teacher"].items()}
    if "features" in tree:
        tree["features"] = located(tree["features"])
    return json.loads(json.dumps(tree))


def one_machine(queue: TrialQueue, storage_url: str) -> None:
    """Refuse an SQLite file that a worker on another machine uses.

    Raises:
        StorageError: if there is such a worker; the message names its machine.
    """
    elsewhere = {host_of(owner) for owner in queue.owners()} - {socket.gethostname(), ""}
    if sqlite_file(storage_url) is not None and elsewhere:
        raise StorageError(
            without_credentials(storage_url),
            f"is used by a worker on {min(elsewhere)}, and SQLite cannot be shared between machines",
            remedy="stop that worker (a dead one counts as gone after 3 minutes), or keep the study in PostgreSQL",
        )


def difference(
    known: Mapping[str, Any],
    mine: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    now: Mapping[str, Any] | None = None,
    declared: Mapping[str, Any] | None = None,
    declaring: Mapping[str, Any] | None = None,
) -> str:
    """Describe what differs between two studies of one name, as ``leaf: recorded -> requested``, without consequences of it.

    Args:
        known, mine: recorded and requested identity.
        before, now: their study files as plain values; None if not recorded.
        declared, declaring: their features files, place -> value; None or empty if not recorded.
    """
    was, asked = _flatten(before or {}), _flatten(now or {})
    paths = {"teacher": ("teacher.path", "teacher.architecture"), "features": ("features",)}
    changed = []
    for what, leaves in paths.items():
        others = [leaf for leaf in leaves if was.get(leaf) != asked.get(leaf)]
        same = known.get(what) == mine.get(what)
        if what == "features" and not same and (told := _declared_change(declared, declaring)):
            changed += told
            continue
        if same or (what == "features" and changed and not others):
            continue  # an inferred prior changes with its teacher
        changed += [_change(leaf, was, asked) for leaf in others if before] or [_change(what, known, mine)]
    if before:
        skipped = FREE.union(*paths.values())
        known_leaves = (leaf for leaf in was.keys() | asked.keys() if leaf.partition(".")[0] not in FREE_SECTIONS)
        leaves = sorted(leaf for leaf in known_leaves if leaf not in skipped)
        told_by = {leaf.rpartition(".")[0] for leaf in leaves}  # an empty section, where the other one has keys
        leaves = [leaf for leaf in leaves if leaf not in told_by]
        changed += [_change(leaf, was, asked) for leaf in leaves if was.get(leaf) != asked.get(leaf)]
    if not changed:  # the study files are equal, so the difference lies elsewhere
        a, b = _flatten(known), _flatten(mine)
        changed = [_change(leaf, a, b) for leaf in sorted(a.keys() | b.keys()) if a.get(leaf) != b.get(leaf)]
    return ", ".join(changed)


def _declared(prepared: Prepared) -> dict[str, Any]:
    """What the features file of a study declares, by feature and key; empty without one, and for one that is too long."""
    if prepared.spec.features is None:
        return {}
    text = json.dumps(_flat_list(yaml_io.read(Path(prepared.spec.features), FeaturesError)))
    return json.loads(text) if len(text) <= LONGEST else {}


def _declared_change(was: Mapping[str, Any] | None, asked: Mapping[str, Any] | None) -> list[str]:
    """What two features files declare otherwise, by feature and key; empty if one of them is not known."""
    if not (was and asked):
        return []
    leaves = [leaf for leaf in {**was, **asked} if was.get(leaf) != asked.get(leaf)]
    more = [f"{len(leaves) - MOST_CHANGES} more in features"] if len(leaves) > MOST_CHANGES else []
    return [_change(leaf, was, asked) for leaf in leaves[:MOST_CHANGES]] + more


def _flat_list(tree: Any, place: str = "") -> dict[str, Any]:
    """The leaves of a features file; an entry of a list is placed by its name."""
    flat: dict[str, Any] = {}
    if isinstance(tree, dict) and all(isinstance(key, str) for key in tree):
        for key, value in tree.items():
            flat |= _flat_list(value, f"{place}.{key}" if place else key)
        return flat
    if isinstance(tree, list) and any(isinstance(each, dict) for each in tree):
        names = [each.get("name") if isinstance(each, dict) else each for each in tree]
        flat[place] = names
        for name, each in zip(names, tree, strict=True):
            own = {k: v for k, v in each.items() if k != "name"} if isinstance(each, dict) else {}
            flat |= _flat_list(own, f"{place}[{name!r}]")
        return flat
    return {place: tree}


def _change(leaf: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return f"{leaf}: {_short(before.get(leaf))} -> {_short(now.get(leaf))}"


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value.keys() - {"low", "high", "log"}:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _short(value: Any) -> str:
    text = "absent" if value is None else "".join(islice(json.JSONEncoder().iterencode(value), 81))
    return text if len(text) <= 80 else f"{text[:12]}...{text[-4:]}"
