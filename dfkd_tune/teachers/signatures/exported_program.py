"""Read the signature of an exported program: its inputs with their names, shapes and dtypes, and its outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from dfkd_tune.compat.torch import tree_unflatten
from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts import nested
from dfkd_tune.layouts.signature import Argument, Output, Signature, argument_names, output_names

EXPORT_REMEDY = "export a module whose arguments have the batch in their first dimension and fixed sizes in all others"
BATCH_REMEDY = (
    "export it with a free batch: dynamic_shapes={NAME: {0: torch.export.Dim('rows', min=1)}, ...} for all arguments"
)
MOST_LEVELS = 256
"""Largest embedding whose rows are taken as the levels of an argument."""
SAME = ("to.dtype", "to.dtype_layout", "_to_copy.default", "view.default", "reshape.default", "squeeze.dim", "squeeze.default", "unsqueeze.default", "clone.default", "contiguous.default", "alias.default", "flatten.using_ints")  # fmt: skip
"""Operators that leave an argument's values as they are."""


def signature_of(source: object, program: torch.export.ExportedProgram) -> Signature | None:
    """The signature of a program; None if it takes no tensor.

    Raises:
        TeacherError: a dimension beside the batch is free, the batch is not, or an input is no tensor.
    """
    called = program.module_call_graph[0].signature
    nodes = {node.name: node for node in program.graph.nodes}
    given = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    values = [nodes[arg.name].meta.get("val") if hasattr(arg, "name") and arg.name in nodes else None for arg in given]
    if called is None or not any(isinstance(value, Tensor) for value in values):
        return None
    names = list(called.forward_arg_names or ())
    marked = [
        _Place(i) if isinstance(value, Tensor) else getattr(arg, "value", None)
        for i, (arg, value) in enumerate(zip(given, values, strict=True))
    ]
    positional, keywords = tree_unflatten(marked, called.in_spec)
    taken = nested.take((positional, keywords), lambda value: isinstance(value, _Place))
    paths = [_named(path, names) for path in taken.paths]
    found = []
    for place, name in zip(taken.leaves, argument_names(paths), strict=True):
        tensor, node = values[place.index], nodes[given[place.index].name]
        shape = _shape(source, name, tensor)
        sizes = () if tensor.dtype.is_floating_point else _embedded(node, shape, program)
        found.append(Argument(name, shape, tensor.dtype, sizes))
    outputs, returns = _outputs(program, called.out_spec)
    return Signature(tuple(found), taken.tree, outputs, returns, tuple(names[: len(positional)]))


class _Place:
    """An input, by its number."""

    def __init__(self, index: int) -> None:
        self.index = index


def _named(path: tuple[str | int, ...], names: list[str]) -> tuple[str | int, ...]:
    """The path of an input without the tuple of positional arguments, which have names instead."""
    kind, first, *rest = path
    if kind == 1:
        return (first, *rest)
    return (names[int(first)] if int(first) < len(names) else f"x{first}", *rest)


def _shape(source: object, name: str, tensor: Tensor) -> tuple[int, ...]:
    """The shape of one row of an input."""
    if tensor.ndim == 0 or not all(isinstance(n, int) for n in tensor.shape[1:]):
        free = [i for i, n in enumerate(tensor.shape) if not isinstance(n, int)]
        found = f"{name} has {tensor.ndim} dimensions, of which {', '.join(map(str, free)) or 'none'} can vary"
        raise TeacherError(source, f"its argument {found}", remedy=EXPORT_REMEDY)
    if isinstance(size := tensor.shape[0], int):
        found = f"{name} has the shape {tuple(tensor.shape)}, always with {size} row{'s' * (size != 1)}"
        raise TeacherError(source, f"takes only a fixed batch size: its argument {found}", remedy=BATCH_REMEDY)
    return tuple(tensor.shape[1:])


def _outputs(program: torch.export.ExportedProgram, spec: Any) -> tuple[tuple[Output, ...] | None, Any]:
    """The outputs and their tree; None twice if the program does not hold them in the form of the teacher's own call."""
    (answers,) = next(node for node in reversed(program.graph.nodes) if node.op == "output").args
    kept = [
        each
        for each, kind in zip(answers, program.graph_signature.output_specs, strict=True)
        if kind.kind.name == "USER_OUTPUT"
    ]
    values = [each.meta.get("val") if isinstance(each, fx.Node) else each for each in kept]
    try:
        taken = nested.take(tree_unflatten(values, spec), lambda value: isinstance(value, Tensor))
    except (TypeError, ValueError):
        return None, None
    fit = all(
        t.is_floating_point() and t.ndim > 0 and all(isinstance(n, int) for n in t.shape[1:]) for t in taken.leaves
    )
    if not fit or not taken.leaves:
        return None, None  # the first call says what is wrong
    names = output_names(taken.paths)
    return tuple(Output(n, tuple(t.shape[1:]), t.dtype) for n, t in zip(names, taken.leaves, strict=True)), taken.tree


def _embedded(node: fx.Node, shape: tuple[int, ...], program: torch.export.ExportedProgram) -> tuple[int | None, ...]:
    """Number of rows of the embedding that each value of an argument selects from; empty if none is found."""
    width = Argument("", shape).width
    sizes: list[int | None] = [None] * width
    left: list[tuple[fx.Node, int | None]] = [(node, None)]  # with the column that was selected from it
    while left:
        here, column = left.pop()
        for user in here.users:
            target = str(user.target).removeprefix("aten.")
            if target == "embedding.default" and user.args[1] is here:
                weight = user.args[0].meta.get("val") if isinstance(user.args[0], fx.Node) else None
                rows = weight.shape[0] if isinstance(weight, Tensor) else None
                for i in range(width) if column is None else [column]:
                    known = [size for size in (sizes[i], rows) if isinstance(size, int)]
                    sizes[i] = min(known, default=None)
            elif target in SAME or (target == "slice.Tensor" and user.args[1:2] == (0,)):  # of rows, as x[:, 0] begins
                left.append((user, column))
            elif target == "select.int" and len(shape) == 1 and column is None and user.args[1] in (1, -1):
                left.append((user, int(str(user.args[2])) % width))
    held = tuple(size if size is not None and size <= MOST_LEVELS else None for size in sizes)
    return held if any(held) else ()
