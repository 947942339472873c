"""Nested tuples, lists and dicts: take their leaves out in a fixed order, and put others in their place.

A *tree* has the form of a value, with ``Leaf(i)`` in place of its i-th leaf. Entries that are not leaves stay in the
tree as constants. A named tuple and a dataclass become a tuple and a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

CONSTANTS = (type(None), bool, int, float, str)
"""Types of entries that a tree may hold beside its leaves."""


@dataclass(frozen=True)
class Leaf:
    """The place of the i-th leaf."""

    index: int


@dataclass(frozen=True)
class Taken:
    """A value taken apart.

    Args:
        tree: its form.
        leaves: its leaves in order.
        paths: keys and indices that lead to each leaf.
    """

    tree: Any
    leaves: list[Any]
    paths: list[tuple[str | int, ...]]


def take(value: Any, is_leaf: Callable[[Any], bool]) -> Taken:
    """Take a value apart.

    Args:
        value: tuples, lists and mappings of leaves, in each other.
        is_leaf: whether an entry is a leaf.

    Raises:
        TypeError: an entry is neither a leaf nor a constant; the message names its place and type.
    """
    found = Taken(None, [], [])

    def part(value: Any, path: tuple[str | int, ...]) -> Any:
        if is_leaf(value):
            found.leaves.append(value)
            found.paths.append(path)
            return Leaf(len(found.leaves) - 1)
        if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
            return {name: part(each, (*path, name)) for name, each in _items(value) if each is not None}
        if isinstance(value, tuple | list):
            names = getattr(value, "_fields", range(len(value)))
            parts = [part(each, (*path, name)) for name, each in zip(names, value, strict=True)]
            return tuple(parts) if isinstance(value, tuple) else parts
        if isinstance(value, CONSTANTS):
            return value
        place = ".".join(map(str, path))
        raise TypeError(f"{f'{place} is' if place else 'it is'} of type {type(value).__name__}")

    tree = part(value, ())
    return Taken(tree, found.leaves, found.paths)


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), each) for name, each in value.items()]
    return [(field.name, getattr(value, field.name)) for field in fields(value)]


def filled(tree: Any, leaves: Sequence[Any]) -> Any:
    """A value of the form of a tree, with these leaves."""
    if isinstance(tree, Leaf):
        return leaves[tree.index]
    if isinstance(tree, dict):
        return {name: filled(part, leaves) for name, part in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(filled(part, leaves) for part in tree)
    return tree


def leaves_at(tree: Any, value: Any) -> dict[int, Any]:
    """Index -> leaf of a value that has the form of a tree; its constants are not compared.

    Raises:
        KeyError, IndexError, TypeError: the value lacks a part of the tree.
    """
    if isinstance(tree, Leaf):
        return {tree.index: value}
    if isinstance(tree, dict):
        pairs = [(part, value[name]) for name, part in tree.items()]
    elif isinstance(tree, tuple | list):
        pairs = [(part, value[i]) for i, part in enumerate(tree)]
    else:
        return {}
    return {index: leaf for part, each in pairs for index, leaf in leaves_at(part, each).items()}


def to_plain(tree: Any) -> Any:
    """A tree as plain values for JSON."""
    if isinstance(tree, Leaf):
        return {"leaf": tree.index}
    if isinstance(tree, dict):
        return {"dict": {name: to_plain(part) for name, part in tree.items()}}
    if isinstance(tree, tuple):
        return {"tuple": [to_plain(part) for part in tree]}
    if isinstance(tree, list):
        return {"list": [to_plain(part) for part in tree]}
    return {"constant": tree}


def from_plain(plain: Mapping[str, Any]) -> Any:
    """The tree that ``to_plain`` wrote."""
    ((kind, held),) = plain.items()
    if kind == "leaf":
        return Leaf(held)
    if kind == "dict":
        return {name: from_plain(part) for name, part in held.items()}
    if kind == "constant":
        return held
    parts = (from_plain(part) for part in held)
    return tuple(parts) if kind == "tuple" else list(parts)
