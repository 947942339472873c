"""The key ``arguments`` of a features file: what is declared of each argument of a teacher, by its name.

    arguments:
      signal: {mean: 0, std: 1}                     # all of its values alike
      numbers: {features: [age, {name: load, mean: 3.1, std: 0.4}]}     # a name or a mapping for each value
      image: {grid: {height: 8, width: 8, range: [0, 16]}}
      region: {levels: [0, 1, 2, 3]}
      site: {levels: [north, south]}                # words, for a teacher that takes them
      history: {window: {steps: 24, channels: [temp, flow]}}
      other: {shape: [24, 6], dtype: float64}       # for a teacher whose shapes are unknown

An argument that is left out has nothing declared. Values lie in row-major order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.dependence.processes import ImageField, WindowProcess
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.layouts.axes import Axes
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Signature, Unfit, dtype_name, shape_in_words, value_names
from dfkd_tune.utils.quoting import named, quoted

DTYPES = {
    dtype_name(dtype): dtype
    for dtype in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
"""The dtypes of arguments by name."""
CODES = torch.int64
"""The dtype of the codes that stand for words."""
SMALL = (torch.uint8, torch.int8)
"""Dtypes whose whole range is taken where nothing is declared."""
FEW = 2**16
"""Number of whole numbers from which their range says nothing of those that occur."""
MOST_FEATURES = 100_000
"""Largest number of features."""
ABOUT = ("shape", "dtype")
"""Keys that say what an argument is, and nothing of its values."""


@dataclass(frozen=True)
class Described:
    """What a features file says of one argument's values.

    Args:
        shape: their shape if it follows from the description, for a teacher whose shapes are unknown.
        items: from the names of the values to one entry of ``features`` for each.
        axes: what the dimensions are, if the description says so.
        process: how the values go together, if the description says so; its axes are these.
    """

    shape: tuple[int, ...] | None
    items: Callable[[Sequence[str]], list[Any]]
    axes: Axes | None = None
    process: WindowProcess | ImageField | None = None


Describe = Callable[[Any, str, Argument | None], Described]
"""``(value, place, argument)`` -> what the value of a key says of an argument; None stands for flat rows.

Raises:
    FeaturesError: the value is invalid or does not fit the argument.
"""


@dataclass(frozen=True)
class Declared:
    """What a features file says of all values.

    Args:
        items: an entry of ``features`` for each value, in the order of the columns.
        signature: the complete signature; None for flat rows.
        axes: the axes of the arguments that are windows or grids.
        processes: how the values of windows and grids go together, where the file says so.
        places: where the file has the entry of each value; empty if ``features`` lists them.
    """

    items: Any
    signature: Signature | None
    axes: tuple[Axes, ...] = ()
    processes: tuple[WindowProcess | ImageField, ...] = ()
    places: tuple[str, ...] = ()


def alike(entry: Mapping[str, Any], place: str) -> Described:
    """All values of an argument are declared alike, by the keys of a feature."""
    if "name" in entry:
        raise FeaturesError(f"{place}.name", "unknown key", remedy="features: [...] names the values of an argument")
    return Described(None, lambda names: [{"name": name, **entry} for name in names])


def listed(given: Any, place: str, argument: Argument | None) -> Described:
    """Each value is declared by itself: ``features: [...]``."""
    if not isinstance(given, list) or not given:
        raise FeaturesError(place, f"must be a list of at least one feature, got {quoted(given)}")
    return Described((len(given),), lambda names: given)


def misfit(error: Unfit, place: str, argument: Argument | None, remedy: str) -> FeaturesError:
    """The error for a window or grid whose sizes do not fit its argument."""
    return FeaturesError(place, f"{error}; the teacher takes {argument}", remedy=remedy)


def arguments_in(tree: Any, place: str, signature: Signature | None, describe: Mapping[str, Describe]) -> Declared:
    """What a mapping of arguments says of all values.

    Args:
        tree: argument -> what is declared of it.
        place: place of the mapping, for messages.
        signature: the teacher's signature; None if it is unknown, and the mapping itself is the signature.
        describe: key that an entry may have -> the function that reads such an entry; other entries are ``alike``.

    Raises:
        FeaturesError: the mapping does not fit the signature; the message names the argument and the rule.
    """
    if not isinstance(tree, dict) or not tree:
        raise FeaturesError(
            place, f"must be a mapping of arguments, got {quoted(tree)}", remedy="arguments: {x: {...}}"
        )
    for name, entry in tree.items():
        if not isinstance(name, str) or not isinstance(entry, dict | None):
            raise FeaturesError(f"{place}.{named(name)}", f"must be a mapping, got {quoted(entry)}")
    if signature is None:
        signature = Signature.positional(Argument(name, None) for name in tree)
    known = [argument.name for argument in signature.arguments]
    for name in tree:
        if name not in known:
            rule = f"the teacher takes no such argument, it takes {signature}"
            raise FeaturesError(f"{place}.{named(name)}", rule, remedy=f"known arguments: {', '.join(known)}")
    items: list[Any] = []
    places: list[str] = []
    axes: list[Axes] = []
    processes: list[WindowProcess | ImageField] = []
    arguments = []
    for argument in signature.arguments:
        entry, here = tree.get(argument.name) or {}, f"{place}.{argument.name}"
        argument = _completed(argument, entry, here)
        described = _described({k: v for k, v in entry.items() if k not in ABOUT}, here, argument, describe)
        argument = replace(argument, shape=described.shape if argument.shape is None else argument.shape)
        if argument.shape is None:
            raise _shapeless(argument, here)
        most = argument.width <= MOST_FEATURES  # ``layout_of`` refuses more
        found = described.items(value_names(argument.name, argument.shape)) if most else [None] * argument.width
        if len(found) != argument.width:
            rule = f"declares {len(found)} values, the teacher takes {argument}, which has {argument.width}"
            raise FeaturesError(here, rule, remedy="declare each value, in row-major order")
        if described.axes is not None:
            axes.append(replace(described.axes, start=len(items)))
        if described.process is not None:
            processes.append(replace(described.process, axes=axes[-1]))
        items += found
        places += [f"{here}.features[{k}]" if "features" in entry else here for k in range(len(found))]
        arguments.append(argument)
    signature = replace(signature, arguments=tuple(arguments))
    return Declared(items, signature, tuple(axes), tuple(processes), tuple(places))


def _described(entry: Mapping[str, Any], place: str, argument: Argument, describe: Mapping[str, Describe]) -> Described:
    """What an entry says of the values of its argument: by one of the keys of ``describe``, or of all values alike."""
    key = next((key for key in describe if key in entry), None)
    if key is None:
        return alike(entry, place)
    if unknown := [other for other in entry if other != key]:
        raise FeaturesError(f"{place}.{named(unknown[0])}", "unknown key", remedy=f"known keys: {key}, shape, dtype")
    return describe[key](entry[key], f"{place}.{key}", argument)


def _completed(argument: Argument, entry: Mapping[str, Any], place: str) -> Argument:
    """An argument with the shape and dtype of its entry, if its own are unknown; its shape may stay unknown."""
    shape, dtype = entry.get("shape"), entry.get("dtype")
    if shape is not None and not (isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)):
        raise FeaturesError(f"{place}.shape", f"must be a list of sizes without the batch, got {quoted(shape)}")
    if dtype is not None and not (isinstance(dtype, str) and dtype in DTYPES):
        raise FeaturesError(f"{place}.dtype", f"unknown dtype {quoted(dtype)}", remedy=f"known: {', '.join(DTYPES)}")
    given = argument.shape if shape is None else tuple(shape)
    if argument.shape is not None and given != argument.shape:
        rule = f"is {shape_in_words(given)}, but the teacher takes {argument}"
        raise FeaturesError(f"{place}.shape", rule, remedy="leave it out")
    if argument.dtype is not None and dtype is not None and DTYPES[dtype] != argument.dtype:
        raise FeaturesError(f"{place}.dtype", f"is {dtype}, but the teacher takes {argument}", remedy="leave it out")
    levels = entry.get("levels")
    held = levels if isinstance(levels, list) else []
    words = argument.dtype is None and dtype is None and any(isinstance(each, str) for each in held)
    if words:
        return replace(argument, shape=given, dtype=CODES, words=())
    return replace(argument, shape=given, dtype=argument.dtype or DTYPES[dtype or "float32"])


def _shapeless(argument: Argument, place: str) -> FeaturesError:
    """The error for an argument whose shape neither the teacher nor the features file declares."""
    rule = f"the teacher does not tell the shape of its argument {argument.name}"
    remedy = f"say it without the batch: arguments: {{{argument.name}: {{shape: [24, 6]}}}}"
    return FeaturesError(place, rule, remedy=remedy)


def layout_of(signature: Signature | None, place: object) -> Layout | None:
    """The layout of a complete signature; None for flat rows.

    Raises:
        FeaturesError: it has too many values.
    """
    if signature is None or signature.flat:
        return None
    if (width := sum(each.width for each in signature.arguments)) > MOST_FEATURES:
        rule = f"the teacher takes {signature}: {width:,} values, {MOST_FEATURES:,} at most"
        raise FeaturesError(place, rule, remedy="export a teacher that takes smaller inputs, and resizes them itself")
    if empty := [each for each in signature.arguments if each.width == 0]:
        raise FeaturesError(place, f"the teacher takes {signature}: {empty[0].name} is empty", remedy="leave it out")
    return Layout(signature)


@dataclass(frozen=True)
class Fitted:
    """Features and layout as they go together.

    Args:
        features: the features as the dtypes of their arguments allow them.
        layout: the layout, whose arguments hold the declared words.
        told: names of the arguments whose values the teacher itself declares.
    """

    features: list[Feature]
    layout: Layout
    told: list[str]


def fitted(features: Sequence[Feature], layout: Layout, place: str) -> Fitted:
    """Fit features and layout to each other.

    Raises:
        FeaturesError: values of an argument of whole numbers or words are not declared, or are others.
    """
    fit, told, arguments = [*features], [], []
    for argument in layout.arguments:
        first = layout.columns[argument.name].start
        own_words: set[tuple[str, ...]] = set()
        for i in range(*layout.columns[argument.name].indices(layout.width)):
            if features[i].missing is not None and (argument.whole or argument.words is not None):
                rule = f"feature {features[i].name!r} may be missing, {argument} cannot hold NaN"
                remedy = "leave missing out, or declare a value that stands for it as one of the levels"
                raise FeaturesError(place, rule, remedy=remedy)
            own = None if features[i].known or argument.words is not None else _own_values(argument, i - first)
            if own is not None:
                fit[i] = replace(features[i], **own)
                told += [argument.name] if argument.name not in told else []
            elif argument.words is not None:
                own_words.add(_words(features[i], argument, place))
            elif argument.whole:
                fit[i] = _whole(features[i], argument, i - first, place)
            elif features[i].labels is not None:
                rule = f"feature {features[i].name!r} has words as levels, the teacher takes {argument}"
                raise FeaturesError(
                    place, rule, remedy=f"give numbers: arguments: {{{argument.name}: {{levels: [0, 1]}}}}"
                )
        if len(own_words) > 1:
            rule = f"the values of {argument} have different levels"
            raise FeaturesError(
                place, rule, remedy=f"give all of them: arguments: {{{argument.name}: {{levels: [...]}}}}"
            )
        arguments.append(replace(argument, words=own_words.pop()) if own_words else argument)
    known = replace(layout, signature=replace(layout.signature, arguments=tuple(arguments)))
    return Fitted(fit, known, told)


def _own_values(argument: Argument, i: int) -> dict[str, Any] | None:
    """What an argument declares of its i-th value: truth values, the rows of an embedding, the range of 8 bits."""
    size = argument.sizes[i] if argument.sizes else None
    if argument.dtype == torch.bool:
        return {"levels": [0.0, 1.0]}
    if size is not None:
        return {"levels": [float(level) for level in range(size)]}
    if argument.dtype in SMALL:
        limits = torch.iinfo(argument.dtype)
        return {"range": [float(limits.min), float(limits.max)], "integer": True}
    return None


def _words(feature: Feature, argument: Argument, place: str) -> tuple[str, ...]:
    """The levels of a feature in an argument of words."""
    said = f"arguments: {{{argument.name}: {{levels: [red, blue]}}}} in the features file"
    if feature.labels is None:
        what = "nothing says which words occur" if not feature.known else f"{feature.name!r} is declared as a number"
        raise FeaturesError(place, f"the teacher takes {argument}, and {what}", remedy=said)
    words = [word for word in feature.labels if word is not None]
    if len(words) < len(feature.labels):
        raise FeaturesError(place, f"the teacher takes {argument}, which cannot be missing", remedy=said)
    return tuple(words)


def _whole(feature: Feature, argument: Argument, i: int, place: str) -> Feature:
    """The feature of an argument's i-th value as one of whole numbers."""
    said = f"arguments: {{{argument.name}: {{levels: [0, 1, 2]}}}} or {{range: [0, 9]}} in the features file"
    low, high = _limits(argument, i)
    if high - low < FEW:
        said = (
            f"declare at most arguments: {{{argument.name}: {{range: [{low:.0f}, {high:.0f}]}}}} in the features file"
        )
    if not feature.known:
        rule = f"the teacher takes {argument}, and nothing says which whole numbers occur"
        raise FeaturesError(place, rule, remedy=said)
    told = [v for v in feature.levels or () if v is not None]
    if feature.levels is not None and (
        len(told) < len(feature.levels) or any(isinstance(v, str) or v != round(v) for v in told)
    ):
        rule = f"feature {feature.name!r} lies in {argument}, which takes whole numbers alone"
        raise FeaturesError(place, rule, remedy=said)
    if feature.levels is None and not feature.integer:
        feature = replace(feature, integer=True)
    if feature.support[0] < low or feature.support[1] > high:
        least, most = feature.support
        rule = f"feature {feature.name!r} reaches from {least:g} to {most:g}, {argument} takes {low:g} to {high:g}"
        raise FeaturesError(place, rule, remedy=said)
    return feature


def _limits(argument: Argument, i: int) -> tuple[float, float]:
    """The smallest and largest whole number of an argument's i-th value: of its embedding, or of its dtype.

    They are infinite for 64 bits, which hold whatever rows hold.
    """
    if argument.dtype == torch.bool:
        return 0, 1
    if argument.sizes and (size := argument.sizes[i]) is not None:
        return 0, size - 1
    if argument.dtype is None or argument.dtype == torch.int64:
        return -math.inf, math.inf
    limits = torch.iinfo(argument.dtype)
    return limits.min, limits.max
