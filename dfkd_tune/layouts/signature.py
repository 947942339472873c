"""The signature of a teacher: its arguments and its outputs, and how a call holds them.

Shapes have no batch dimension, which is the first one of every argument and output. ``(24, 6)`` is an argument
``(N, 24, 6)``, and ``()`` is one number a row, ``(N,)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from dfkd_tune.layouts import nested
from dfkd_tune.layouts.nested import Leaf

UNNAMED = "output"
"""The name of an only output that has none."""
ROW_DTYPES = (torch.float32, torch.float64)
"""The dtypes that flat rows may have."""


@dataclass(frozen=True)
class Argument:
    """One tensor that a teacher takes.

    Args:
        name: its name.
        shape: shape of one row; None if the teacher does not say.
        dtype: its dtype; None if the teacher does not say.
        sizes: number of rows of the embedding that each of its values selects from, if it is known.
        words: the words that it takes, in order of the codes 0, 1, ... that stand for them in tensors; empty if they are
            not declared yet, and None if it takes numbers.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None = None
    sizes: tuple[int | None, ...] = field(default=(), compare=False)
    words: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """Number of values in one row."""
        return math.prod(self.shape or ())

    @property
    def whole(self) -> bool:
        """Whether it takes whole numbers or truth values only."""
        return self.dtype is not None and not self.dtype.is_floating_point

    @property
    def kind(self) -> str:
        """The name of its dtype, ``string`` if it takes words; empty if the teacher does not say."""
        return "string" if self.words is not None else dtype_name(self.dtype) if self.dtype else ""

    def __str__(self) -> str:
        return f"{self.name} {shape_in_words(self.shape)} {self.kind}".rstrip()


@dataclass(frozen=True)
class Output:
    """One tensor of numbers that a teacher returns; arguments as for ``Argument``."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def width(self) -> int:
        """Number of values in one row."""
        return math.prod(self.shape)

    @property
    def kind(self) -> str:
        """The name of its dtype."""
        return dtype_name(self.dtype)

    def __str__(self) -> str:
        return f"{self.name} {shape_in_words(self.shape)}"


class Unfit(ValueError):
    """An argument or output that distillation cannot use; the message says which, and what was found."""


@dataclass(frozen=True)
class Signature:
    """Arguments and outputs of a teacher.

    Args:
        arguments: its arguments in order.
        call: tree of a call ``(positional tuple, keyword dict)``, with ``Leaf(i)`` in place of the i-th argument.
        outputs: its outputs in order; None before the first call of a teacher that does not say.
        returns: tree of what a call returns; None with ``outputs``.
        names: names of its positional parameters; empty if they are those of the arguments.
    """

    arguments: tuple[Argument, ...]
    call: Any
    outputs: tuple[Output, ...] | None = None
    returns: Any = None
    names: tuple[str, ...] = ()

    @classmethod
    def positional(cls, arguments: Iterable[Argument], outputs: Sequence[Output] | None = None) -> Signature:
        """A signature whose arguments are passed by position, and whose outputs are one tensor or a tuple."""
        given = tuple(arguments)
        returns = None if outputs is None else tuple(map(Leaf, range(len(outputs))))
        returns = returns[0] if returns is not None and len(returns) == 1 else returns
        call = (tuple(map(Leaf, range(len(given)))), {})
        return cls(given, call, None if outputs is None else tuple(outputs), returns)

    @property
    def complete(self) -> bool:
        """Whether the shapes and dtypes of all arguments are known."""
        return all(each.shape is not None and each.dtype is not None for each in self.arguments)

    @property
    def flat(self) -> bool:
        """Whether the teacher takes flat rows ``(N, D)`` and returns ``(N, O)`` or ``(N,)``, both float32 or float64, as far
        as is known."""
        if self.call != ((Leaf(0),), {}) or len(self.arguments) != 1:
            return False
        (only,) = self.arguments
        takes = only.shape is None or (len(only.shape) == 1 and only.dtype in (None, *ROW_DTYPES))
        if self.outputs is None or self.returns != Leaf(0):
            return takes and self.outputs is None
        return takes and len(self.outputs[0].shape) <= 1 and self.outputs[0].dtype in ROW_DTYPES

    def with_outputs(self, returned: Any, rows: int) -> Signature:
        """The signature with the outputs of a call.

        Args:
            returned: what a call with ``rows`` rows returned.
            rows: number of rows.

        Raises:
            Unfit: it holds something else than tensors of numbers with one row for each row of the call.
        """
        tensors, taken = tensors_in(returned, rows)
        names = output_names(taken.paths)
        found = [Output(n, tuple(t.shape[1:]), t.dtype) for n, t in zip(names, tensors, strict=True)]
        return replace(self, outputs=tuple(found), returns=taken.tree)

    def table(self) -> list[tuple[str, str, str, str]]:
        """One row for each argument and output: what it is, its name, its shape with the batch ``N``, its dtype."""
        parts: list[tuple[str, Argument | Output]] = [("argument", each) for each in self.arguments]
        parts += [("output", each) for each in self.outputs or ()]
        return [(what, each.name, shape_in_words(each.shape), each.kind or "unknown dtype") for what, each in parts]

    def tree(self) -> dict[str, Any]:
        """The signature as plain values for JSON."""
        named = {"names": list(self.names)} if self.names else {}
        known = (
            {} if self.outputs is None else {"outputs": _plain(self.outputs), "returns": nested.to_plain(self.returns)}
        )
        return {"arguments": _plain(self.arguments), "call": nested.to_plain(self.call)} | known | named

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Signature:
        """The signature that ``tree`` wrote."""
        outputs = tuple(Output(*_parts(each)) for each in tree["outputs"]) if "outputs" in tree else None
        returns = nested.from_plain(tree["returns"]) if "returns" in tree else None
        arguments = tuple(
            Argument(*_parts(each), words=tuple(each["words"]) if "words" in each else None)
            for each in tree["arguments"]
        )
        return cls(arguments, nested.from_plain(tree["call"]), outputs, returns, tuple(tree.get("names", ())))

    def __str__(self) -> str:
        """In one line, such as ``signal (N, 24, 6) float32, region (N,) int64 -> forecast (N, 1)``."""
        taken = ", ".join(map(str, self.arguments))
        return taken if self.outputs is None else f"{taken} -> {', '.join(map(str, self.outputs))}"


def tensors_in(returned: Any, rows: int) -> tuple[list[Tensor], nested.Taken]:
    """The tensors in what a call with ``rows`` rows returned, and where they are.

    Raises:
        Unfit: it holds something else than tensors of numbers with one row for each row of the call.
    """
    try:
        taken = nested.take(returned, lambda value: isinstance(value, Tensor))
    except TypeError as error:
        raise Unfit(f"must return tensors, alone or in tuples, lists and dicts; {error}") from None
    if not taken.leaves:
        raise Unfit(f"must return a tensor, returned {type(returned).__name__}")
    for name, tensor in zip(output_names(taken.paths), taken.leaves, strict=True):
        what = f"its output {name} " if taken.tree != Leaf(0) else "it "
        if not tensor.is_floating_point():
            kind = dtype_name(tensor.dtype)
            raise Unfit(f"{what}returns {kind}; whole numbers are classes, and a teacher must answer real numbers")
        if tensor.layout is not torch.strided or tensor.ndim == 0 or len(tensor) != rows or tensor.numel() == 0:
            raise Unfit(f"{what}returns {tuple(tensor.shape)} for {rows} rows, its first dimension must be the rows")
    return taken.leaves, taken


def argument_names(paths: Sequence[tuple[str | int, ...]]) -> list[str]:
    """Names of the arguments at these paths of a call: ``pair.0``; a mapping that holds all of them is left out."""
    while (
        len(paths) > 1
        and len({path[0] for path in paths}) == 1
        and all(len(path) > 1 and isinstance(path[1], str) for path in paths)
    ):
        paths = [path[1:] for path in paths]
    return _distinct([".".join(map(str, path)) for path in paths])


def output_names(paths: Sequence[tuple[str | int, ...]]) -> list[str]:
    """Names of the outputs at these paths of a result: keys, and ``output_0``, ``output_1``, ... in a tuple."""
    return _distinct(
        [
            ".".join(map(str, path)) if path and isinstance(path[0], str) else "_".join((UNNAMED, *map(str, path)))
            for path in paths
        ]
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that paths of another form have already, as ``{"a": {"b": 1}, "a.b": 2}``."""
    found: list[str] = []
    for name in names:
        tried = (name, *(f"{name}_{i}" for i in range(2, len(names) + 2)))
        found.append(next(each for each in tried if each not in found and (each == name or each not in names)))
    return found


def value_names(name: str, shape: Sequence[int]) -> list[str]:
    """Names of the values of one row, in row-major order: ``signal[3,2]``; the name itself for a single value."""
    if math.prod(shape) == 1:
        return [name]
    places = [""]
    for length in shape:
        places = [f"{place},{i}" if place else f"{i}" for place in places for i in range(length)]
    return [f"{name}[{place}]" for place in places]


def shape_in_words(shape: Sequence[int] | None) -> str:
    """A shape with its batch dimension, ``(N, 24, 6)``."""
    if shape is None:
        return "of unknown shape"
    return f"(N{''.join(f', {n}' for n in shape)}{',' if not shape else ''})"


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype without its module."""
    return str(dtype).removeprefix("torch.")


def _plain(parts: Sequence[Argument] | Sequence[Output]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "shape": (each.shape and list(each.shape)) or [],
            "dtype": dtype_name(each.dtype or torch.float32),
        }
        | ({"words": list(each.words)} if isinstance(each, Argument) and each.words is not None else {})
        for each in parts
    ]


def _parts(plain: Mapping[str, Any]) -> tuple[str, tuple[int, ...], torch.dtype]:
    return plain["name"], tuple(plain["shape"]), getattr(torch, plain["dtype"])
