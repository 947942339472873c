"""What differs between a study on record and the one that is requested under its name, in words."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dfkd_tune.errors import FeaturesError
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.search.study_file import StudySpec, as_tree
from dfkd_tune.teachers.sources import is_file
from dfkd_tune.utils import yaml_io

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
    steps, wanted = (_flatten(each).get("space.trial_steps") for each in (known, mine))
    if not changed and steps != wanted and was.get("study.reruns") != asked.get("study.reruns"):  # it is free otherwise
        changed = [
            f"{_change('study.reruns', was, asked)} and so other steps of a trial (budget.trial_share sets them)"
        ]
    if not changed:  # the study files are equal, so the difference lies elsewhere
        a, b = _flatten(known), _flatten(mine)
        changed = [_change(leaf, a, b) for leaf in sorted(a.keys() | b.keys()) if a.get(leaf) != b.get(leaf)]
    return ", ".join(changed)


def declared_in(spec: StudySpec) -> dict[str, Any]:
    """What the features file of a study declares, by feature and key; empty without one, and for one that is too long."""
    if spec.features is None:
        return {}
    text = json.dumps(_flat_list(yaml_io.read(Path(spec.features), FeaturesError)))
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


def tree_of(spec: StudySpec) -> dict[str, Any]:
    """The study file as plain values with absolute paths."""
    tree = as_tree(spec)
    tree["teacher"] = {key: located(path) for key, path in tree["teacher"].items()}
    if "features" in tree:
        tree["features"] = located(tree["features"])
    return json.loads(json.dumps(tree))


def located(path: str) -> str:
    """An absolute path without credentials; module paths and MLflow model URIs are returned unchanged.

    Links are not followed: where Kubernetes mounts a ConfigMap, they lead into a folder whose name differs in each pod.
    """
    if not is_file(path):
        return without_credentials(path)
    plain = Path(os.path.abspath(path))  # without "..", which means another folder behind a link
    return str(plain if plain.resolve() == Path(path).resolve() else Path(path).absolute())
