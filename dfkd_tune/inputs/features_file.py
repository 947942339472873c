"""Read ``features.yaml``: the names of the features in order, and what is known about each.

    features: [age, {name: load, mean: 3.1, std: 0.4}, {name: valve, levels: [0, 1]},
               {name: count, range: [0, 9], integer: true}, {name: color, levels: [red, blue]},
               {name: grade, levels: [1, 2, 3], nominal: true}]
    simplex: [ala, arg]          # optional: features that are shares of a whole
    rank_correlation:            # optional: Spearman rank correlations, lower triangle, one row per feature
      - [1]
      - [0.31, 1]
    copula_mixture:              # optional, in place of it: groups of rows, by the normal scores of the features
      - {share: 1, mean: [0, 0], covariance: [[1], [0.3, 1]]}

Quantiles, as probability -> value, describe the shape of a feature:
``{name: load, quantiles: {0.05: 1.1, 0.5: 3, 0.95: 4.2}}``. ``dfkd-tune describe`` writes such a file from a table.

The pixels of an image, ``grid: {...}`` (see ``inputs.grid``), or channels at successive steps, ``window: {...}`` (see
``inputs.window``), can replace the list. For a teacher with several arguments, ``arguments: {...}`` replaces it (see
``inputs.arguments``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs import entries
from dfkd_tune.inputs.arguments import MOST_FEATURES, Declared, Describe, arguments_in, fitted, layout_of, listed
from dfkd_tune.inputs.dependence.base import Dependence
from dfkd_tune.inputs.dependence.copula_mixture import CopulaMixture, copula_mixture
from dfkd_tune.inputs.dependence.processes import Processes
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation, triangle
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.grid import gridded
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.inputs.window import windowed
from dfkd_tune.layouts.signature import Signature, value_names
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.quoting import named, quoted

MOST_BYTES = 16 * 2**20
"""Largest features file, in bytes."""
VALUES = ("features", "window", "grid", "arguments")
"""Keys that declare the values; a file has one of them."""
TOGETHER = ("rank_correlation", "copula_mixture")
"""Keys that say how all features go together; a file has one of them at most."""
KEYS = (*VALUES, "simplex", *TOGETHER)


def read_features(path: str | Path, signature: Signature | None = None) -> Inputs:
    """Read a features file.

    Args:
        path: the file.
        signature: the arguments of its teacher; None for flat rows, or if the file says them.

    Raises:
        FeaturesError: the file is invalid or does not fit the signature; the message names the feature and the rule.
    """
    path = Path(path)
    return parse_features(yaml_io.read(path, FeaturesError, MOST_BYTES), path, signature)


def parse_features(tree: Any, path: object, signature: Signature | None = None) -> Inputs:
    """Build inputs from the parsed YAML of a features file.

    Raises:
        FeaturesError: the tree is invalid or does not fit the signature; the message names the feature and the rule.
    """
    if not isinstance(tree, dict):
        raise FeaturesError(path, "must hold features, with a list", remedy="features: [{name: age}, ...]")
    for key in tree:
        if key not in KEYS:
            raise FeaturesError(f"{path}: {named(key)}", "unknown key", remedy=f"known keys: {', '.join(KEYS)}")
    if sum(key in tree for key in VALUES) != 1:
        rule = "must hold features, window, grid or arguments, one of the four"
        raise FeaturesError(path, rule, remedy="features: [{name: age}, ...]")
    declared = _declared(tree, path, signature)
    items = declared.items
    if not isinstance(items, list) or not items:
        raise FeaturesError(f"{path}: features", f"must be a list of at least one feature, got {quoted(items)}")
    if len(items) > MOST_FEATURES:
        raise FeaturesError(f"{path}: features", f"holds {len(items):,} features, {MOST_FEATURES:,} at most")
    shares = _simplex(tree.get("simplex"), f"{path}: simplex")
    places = declared.places or [f"{path}: features[{i}]" for i in range(len(items))]
    features = [entries.feature(item, place) for item, place in zip(items, places, strict=True)]
    layout = layout_of(declared.signature, path)
    if layout is not None:
        fit = fitted(features, layout, str(path))
        features, layout = fit.features, fit.layout
    names = [feature.name for feature in features]
    seen: set[str] = set()
    for name, place in zip(names, places, strict=True):
        if name in seen:
            raise FeaturesError(f"{place}.name", f"{quoted(name)} is given twice")
        seen.add(name)
    for name in shares:
        if name not in seen:
            raise FeaturesError(f"{path}: simplex", f"no feature is called {quoted(name)}")
    _room({feature.name: feature for feature in features}, shares, f"{path}: simplex")
    together = _together(tree, declared, len(features), path)
    return Inputs(
        features, [names.index(name) for name in shares], together, layout=layout, axes=declared.axes, told=tree
    )


def _together(tree: dict[str, Any], declared: Declared, width: int, path: object) -> Dependence | None:
    """How features go together: by what the file says of all, or as the windows and grids say."""
    given = [key for key in TOGETHER if tree.get(key) is not None]
    if not given:
        return Processes(declared.processes) if declared.processes else None
    place = f"{path}: {given[0]}"
    if len(given) > 1:
        raise FeaturesError(place, f"excludes {given[1]}", remedy="leave one of them out")
    if declared.processes:
        rule = "is of all features, and a window or grid says how its own go together"
        raise FeaturesError(place, rule, remedy="leave it out, or leave out what the window or grid says")
    if given[0] == "copula_mixture":
        return copula_mixture(tree[given[0]], width, place)
    return RankCorrelation(triangle(tree[given[0]], width, place))


def _declared(tree: dict[str, Any], path: object, signature: Signature | None) -> Declared:
    """What the file says of all values."""
    if "arguments" in tree:
        return arguments_in(tree["arguments"], f"{path}: arguments", signature, DESCRIBE)
    key = next(key for key in VALUES if key in tree)
    if key != "features":
        return _of_one(key, tree[key], path, signature)
    items = tree["features"]
    if signature is None or signature.flat:
        return Declared(items, signature)
    if not signature.complete:
        unknown = next(each.name for each in signature.arguments if each.shape is None)
        rule = f"the teacher takes {signature}; a list of features does not say which lie in which"
        remedy = f"arguments: {{{unknown}: {{shape: [24, 6]}}, ...}} in place of it"
        raise FeaturesError(path, rule, remedy=remedy)
    width = sum(each.width for each in signature.arguments)
    if isinstance(items, list) and len(items) != width:
        rule = f"declares {len(items)} values, the teacher takes {width}: {signature}"
        raise FeaturesError(path, rule, remedy="declare each value in row-major order, or use arguments: {...}")
    return Declared(items, signature)


def _of_one(key: str, value: Any, path: object, signature: Signature | None) -> Declared:
    """What the file says of the only argument of a teacher, or of flat rows, by a window or a grid."""
    place = f"{path}: {key}"
    argument, *others = (None,) if signature is None else signature.arguments
    if argument is not None and others:
        rule = f"is one argument, the teacher takes {signature}"
        raise FeaturesError(place, rule, remedy=f"arguments: {{{argument.name}: {{{key}: {{...}}}}}}")
    described = DESCRIBE[key](value, place, argument)
    axes = () if described.axes is None else (described.axes,)
    processes = () if described.process is None else (described.process,)
    if signature is None or argument is None or signature.flat:
        return Declared(described.items([]), signature, axes, processes)
    shape, dtype = argument.shape or described.shape or (), argument.dtype or torch.float32
    items = described.items(value_names(argument.name, shape))
    return Declared(
        items, replace(signature, arguments=(replace(argument, shape=shape, dtype=dtype),)), axes, processes
    )


DESCRIBE: dict[str, Describe] = {"features": listed, "window": windowed, "grid": gridded}
"""Key of an argument's entry -> the function that reads its value."""


@runtime_checkable
class HasTree(Protocol):
    """What ``describe`` returns: it has the content of a features file."""

    def tree(self) -> dict[str, Any]: ...


def tree_of(given: Any) -> Any:
    """The content of a features file for features that were given in Python; ``parse_features`` checks it.

    Args:
        given: ``Inputs``; a list of names, ``Feature`` or mappings; a mapping from names to ``Feature``, mappings or None; the
            content of a features file; or what ``describe`` returns.

    Raises:
        FeaturesError: the value of a name is neither a ``Feature`` nor a mapping nor None.
    """
    if isinstance(given, Inputs):
        return _tree_of_inputs(given)
    if getattr(given, "ndim", None) == 1 and hasattr(given, "tolist"):  # a pandas Index or Series, or an array of names
        given = given.tolist()
    if isinstance(given, HasTree):
        return given.tree()
    if isinstance(given, Mapping):
        if isinstance(given.get("arguments"), Mapping):
            return {**given}
        if isinstance(window := given.get("window"), Mapping) and isinstance(window.get("channels"), list | tuple):
            return {**given, "window": {**window, "channels": [_item(each) for each in window["channels"]]}}
        if isinstance(given.get("features"), list | tuple) or isinstance(given.get("grid"), Mapping):
            return {**given} | (
                {"features": [_item(each) for each in given["features"]]} if "features" in given else {}
            )
        return {"features": [_named_item(name, each) for name, each in given.items()]}
    if isinstance(given, list | tuple):
        return {"features": [_item(each) for each in given]}
    return given


def _tree_of_inputs(inputs: Inputs) -> dict[str, Any]:
    if inputs.told is not None:
        return {**inputs.told}
    tree: dict[str, Any] = {"features": [_item(feature) for feature in inputs.features]}
    tree |= {"simplex": [inputs.names[i] for i in inputs.simplex]} if inputs.simplex else {}
    if isinstance(inputs.dependence, RankCorrelation):
        tree["rank_correlation"] = [list(row) for row in inputs.dependence.rows]
    if isinstance(inputs.dependence, CopulaMixture):
        tree["copula_mixture"] = inputs.dependence.tree()
    return tree


def _item(each: Any) -> Any:
    if isinstance(each, Feature):
        return {
            f.name: value for f in fields(each) if (value := getattr(each, f.name)) is not None and value is not False
        }
    return dict(each) if isinstance(each, Mapping) else each


def _named_item(name: Any, each: Any) -> Any:
    if each is None:
        return name
    item = _item(each)
    if not isinstance(item, dict):
        remedy = f'{{"{name}": {{"mean": 3, "std": 1}}}}, or {{"{name}": None}}'
        raise FeaturesError(
            f"features[{name!r}]", f"must be a mapping, a Feature or None, got {quoted(each)}", remedy=remedy
        )
    return {"name": name} | item


def _simplex(names: Any, place: str) -> list[str]:
    if names is None:
        return []
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise FeaturesError(place, f"must be a list of at least two names, got {quoted(names)}")
    if len(set(names)) != len(names):
        raise FeaturesError(place, "names a feature twice")
    return names


def _room(known: dict[str, Feature], shares: list[str], place: str) -> None:
    """Check that the shares of a whole can sum to 1."""
    least = most = 0.0
    for name in shares:
        feature = known[name]
        if feature.integer or (feature.levels is not None and (len(feature.levels) > 1 or feature.one_hot)):
            rule = f"{quoted(name)} is a share of a whole, which has neither levels nor whole numbers"
            raise FeaturesError(place, rule, remedy="declare its range, or leave it out of the simplex")
        if feature.missing is not None:
            rule = f"{quoted(name)} is a share of a whole, which cannot be missing"
            raise FeaturesError(place, rule, remedy="leave missing out, or leave it out of the simplex")
        low, high = feature.range or ((0.0, 1.0) if feature.levels is None else feature.support)
        told = [low, high, *([] if feature.mean is None else [feature.mean]), *(feature.quantiles or {}).values()]
        if min(told) < 0 or max(told) > 1:
            rule = f"a share lies between 0 and 1, {quoted(name)} is said to be {min(told):g} or {max(told):g}"
            raise FeaturesError(place, rule, remedy="declare shares of 1, not percent, or leave it out of the simplex")
        least, most = least + low, most + high
    if shares and not least <= 1 <= most:
        rule = f"no shares within these ranges sum to 1: the least sum to {least:g}, the greatest to {most:g}"
        raise FeaturesError(place, rule)
