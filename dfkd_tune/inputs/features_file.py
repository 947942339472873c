"""Read ``features.yaml``: the names of the features in order, and what is known about each.

    features: [age, {name: load, mean: 3.1, std: 0.4}, {name: valve, levels: [0, 1]},
               {name: count, range: [0, 9], integer: true}, {name: color, levels: [red, blue]},
               {name: grade, levels: [1, 2, 3], nominal: true}]
    simplex: [ala, arg]          # optional: features that are shares of a whole
    rank_correlation:            # optional: Spearman rank correlations, lower triangle, one row per feature
      - [1]
      - [0.31, 1]

Quantiles, as probability -> value, describe the shape of a feature:
``{name: load, quantiles: {0.05: 1.1, 0.5: 3, 0.95: 4.2}}``. ``dfkd-tune describe`` writes such a file from a table.

A grid of pixels can replace the list: ``grid: {height: 8, width: 8, range: [0, 16], mean: [...], std: [...]}``, with
one mean and standard deviation per pixel, row by row. For a teacher with several arguments, ``arguments: {...}``
replaces it (see ``inputs.arguments``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.arguments import MOST_FEATURES, Describe, Described, arguments_in, fitted, layout_of, listed
from dfkd_tune.inputs.copula import triangle
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.signature import Signature
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.quoting import named, quoted
from dfkd_tune.utils.strategy import build, strategy

MOST_BYTES = 16 * 2**20
"""Largest features file, in bytes."""
VALUES = ("features", "grid", "arguments")
"""Keys that declare the values; a file has one of them."""
KEYS = (*VALUES, "simplex", "rank_correlation")


@strategy
class Grid:
    """A grid of pixels as features, row by row.

    Args:
        height, width: size of the image in pixels.
        mean, std: mean and standard deviation of each pixel, row by row; standard deviation 0 marks a constant pixel.
        range: ``[low, high]`` for all pixels.
    """

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    mean: list[float] | None = None
    std: list[Annotated[float, Field(ge=0)]] | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together")
        pixels = self.height * self.width
        if pixels > MOST_FEATURES:
            raise ValueError(f"{pixels:,} pixels are more than the {MOST_FEATURES:,} features that there may be")
        if self.mean is not None and self.std is not None and not len(self.mean) == len(self.std) == pixels:
            raise ValueError(f"{pixels} pixels need as many means and stds, found {len(self.mean)} and {len(self.std)}")
        return self

    def features(self) -> list[dict[str, Any]]:
        """The pixels as entries of ``features``."""
        units = None if self.mean is None or self.std is None else list(zip(self.mean, self.std, strict=True))
        items = []
        for i in range(self.height * self.width):
            item: dict[str, Any] = {"name": f"pixel_{i // self.width}_{i % self.width}"}
            if units is not None and units[i][1] == 0:
                item["levels"] = [units[i][0]]
            else:
                item |= {"range": self.range} if self.range is not None else {}
                item |= {"mean": units[i][0], "std": units[i][1]} if units is not None else {}
            items.append(item)
        return items


def read_features(path: Path, signature: Signature | None = None) -> Inputs:
    """Read a features file.

    Args:
        path: the file.
        signature: the arguments of its teacher; None for flat rows, or if the file says them.

    Raises:
        FeaturesError: the file is invalid or does not fit the signature; the message names the feature and the rule.
    """
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
        rule = "must hold features, grid or arguments, one of the three"
        raise FeaturesError(path, rule, remedy="features: [{name: age}, ...]")
    items, signature = _items(tree, path, signature)
    if not isinstance(items, list) or not items:
        raise FeaturesError(f"{path}: features", f"must be a list of at least one feature, got {quoted(items)}")
    if len(items) > MOST_FEATURES:
        raise FeaturesError(f"{path}: features", f"holds {len(items):,} features, {MOST_FEATURES:,} at most")
    shares = _simplex(tree.get("simplex"), f"{path}: simplex")
    features = [_feature(item, f"{path}: features[{i}]") for i, item in enumerate(items)]
    layout = layout_of(signature, path)
    if layout is not None:
        fit = fitted(features, layout, str(path))
        features, layout = fit.features, fit.layout
    names = [feature.name for feature in features]
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            raise FeaturesError(f"{path}: features[{i}].name", f"{quoted(name)} is given twice")
        seen.add(name)
    for name in shares:
        if name not in seen:
            raise FeaturesError(f"{path}: simplex", f"no feature is called {quoted(name)}")
    _room({feature.name: feature for feature in features}, shares, f"{path}: simplex")
    ranks = tree.get("rank_correlation")
    if ranks is not None:
        ranks = triangle(ranks, len(features), f"{path}: rank_correlation")
    return Inputs(features, [names.index(name) for name in shares], ranks, layout=layout)


def _items(tree: dict[str, Any], path: object, signature: Signature | None) -> tuple[Any, Signature | None]:
    """The entries of ``features``, and the signature, completed by the file."""
    if "arguments" in tree:
        return arguments_in(tree["arguments"], f"{path}: arguments", signature, DESCRIBE)
    items = _build(Grid, tree["grid"], f"{path}: grid").features() if "grid" in tree else tree["features"]
    if signature is None or signature.flat:
        return items, signature
    if not signature.complete:
        unknown = next(each.name for each in signature.arguments if each.shape is None)
        rule = f"the teacher takes {signature}; a list of features does not say which lie in which"
        remedy = f"arguments: {{{unknown}: {{shape: [24, 6]}}, ...}} in place of it"
        raise FeaturesError(path, rule, remedy=remedy)
    width = sum(each.width for each in signature.arguments)
    if isinstance(items, list) and len(items) != width:
        rule = f"declares {len(items)} values, the teacher takes {width}: {signature}"
        raise FeaturesError(path, rule, remedy="declare each value in row-major order, or use arguments: {...}")
    return items, signature


def _pixels(entry: Mapping[str, Any], place: str) -> Described:
    """The values of an argument are pixels: ``grid: {...}``."""
    if unknown := [key for key in entry if key != "grid"]:
        raise FeaturesError(f"{place}.{named(unknown[0])}", "unknown key", remedy="known keys: grid, shape, dtype")
    grid = _build(Grid, entry["grid"], f"{place}.grid")
    return Described(
        (grid.height, grid.width),
        # A grid of another size is refused by its number of values.
        lambda names: (
            [i | {"name": n} for i, n in zip(grid.features(), names, strict=False)]
            if len(names) == grid.height * grid.width
            else grid.features()
        ),
    )


DESCRIBE: dict[str, Describe] = {"features": listed, "grid": _pixels}
"""Key of an argument's entry -> the function that reads such an entry."""


def tree_of(given: Any) -> Any:
    """The content of a features file for features that were given in Python; ``parse_features`` checks it.

    Args:
        given: ``Inputs``; a list of names, ``Feature`` or mappings; a mapping from names to ``Feature``, mappings or None; the
            content of a features file; or what ``describe`` returns.
    """
    if isinstance(given, Inputs):
        names = given.names
        tree: dict[str, Any] = {"features": [_item(feature) for feature in given.features]}
        tree |= {"simplex": [names[i] for i in given.simplex]} if given.simplex else {}
        return tree | (
            {"rank_correlation": [list(row) for row in given.rank_correlation or ()]} if given.rank_correlation else {}
        )
    if getattr(given, "ndim", None) == 1 and hasattr(given, "tolist"):  # a pandas Index or Series, or an array of names
        given = given.tolist()
    if hasattr(given, "tree"):
        return given.tree()
    if isinstance(given, Mapping):
        if isinstance(given.get("arguments"), Mapping):
            return {**given}
        if isinstance(given.get("features"), list | tuple) or isinstance(given.get("grid"), Mapping):
            return {**given} | (
                {"features": [_item(each) for each in given["features"]]} if "features" in given else {}
            )
        return {"features": [_named_item(name, each) for name, each in given.items()]}
    if isinstance(given, list | tuple):
        return {"features": [_item(each) for each in given]}
    return given


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
    return {"name": name} | item if isinstance(item, dict) else item


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
        low, high = feature.range or ((0.0, 1.0) if feature.levels is None else feature.support)
        told = [low, high, *([] if feature.mean is None else [feature.mean]), *(feature.quantiles or {}).values()]
        if min(told) < 0 or max(told) > 1:
            rule = f"a share lies between 0 and 1, {quoted(name)} is said to be {min(told):g} or {max(told):g}"
            raise FeaturesError(place, rule, remedy="declare shares of 1, not percent, or leave it out of the simplex")
        least, most = least + low, most + high
    if shares and not least <= 1 <= most:
        rule = f"no shares within these ranges sum to 1: the least sum to {least:g}, the greatest to {most:g}"
        raise FeaturesError(place, rule)


def _feature(item: Any, place: str) -> Feature:
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict):
        raise FeaturesError(place, f"must be a name or a mapping, got {quoted(item)}")
    return _build(Feature, item, place)


def _build(kind: type, item: Any, place: str) -> Any:
    if not isinstance(item, dict):
        raise FeaturesError(place, f"must be a mapping, got {quoted(item)}")
    item = {k: [float(v) if type(v) is int else v for v in x] if isinstance(x, list) else x for k, x in item.items()}
    levels = item.get("levels") if kind is Feature else None
    for i, level in enumerate(levels if isinstance(levels, list) else []):
        if not (level is None or isinstance(level, float | str)):
            rule = f"must be a number, a word or null, got {quoted(level)}"
            remedy = "quote what YAML takes for something else: 'yes', 'no', 'on', '2020-01-31'"
            raise FeaturesError(f"{place}.levels.{i}", rule, remedy=remedy)
    try:
        return build(kind, item, place)
    except SpecError as error:
        remedy = None if error.remedy == SpecError.NEXT else error.remedy
        raise FeaturesError(error.place, error.rule, remedy=remedy) from None
