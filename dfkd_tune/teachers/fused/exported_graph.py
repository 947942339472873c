"""Read a program from the graph of ``torch.export``."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from dfkd_tune.compat.torch import tree_leaves
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.teachers.fused.builder import Count, NotFused, ProgramBuilder, Value, Zeros
from dfkd_tune.teachers.fused.operators import OPERATORS
from dfkd_tune.teachers.fused.program import Program


def read_program(module: fx.GraphModule, width: int, dtype: torch.dtype, layout: Layout | None) -> Program | None:
    """The program that a graph computes; None if it has a part that no layer stands for.

    Args:
        module: the graph, from the teacher's own arguments.
        width: number of columns D of a row.
        dtype: dtype of a row.
        layout: how the arguments lie in a row; None for a graph that takes rows.
    """
    if layout is not None and any(each.dtype != dtype or each.shape is None for each in layout.arguments):
        return None
    shapes = [(width,)] if layout is None else [each.shape or () for each in layout.arguments]
    builder, state = ProgramBuilder(width, dtype), dict(module.named_parameters()) | dict(module.named_buffers())
    values: dict[fx.Node, Any] = {}
    try:
        arguments = builder.arguments(shapes)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                values[node] = arguments.pop(0)
            elif node.op == "get_attr":
                values[node] = state[str(node.target)].detach()
            elif node.op == "call_function":
                args = fx.map_arg(node.args, values.__getitem__)
                kwargs = fx.map_arg(node.kwargs, values.__getitem__)
                if _constant((args, kwargs)):
                    with torch.no_grad():
                        values[node] = node.target(*args, **kwargs)
                else:
                    rule = OPERATORS.get(str(node.target).removeprefix("aten.").removeprefix("<built-in function "))
                    if rule is None:
                        raise NotFused
                    values[node] = rule(builder, *args, **kwargs)
            elif node.op == "output":
                if arguments:
                    return None
                builder.outputs([values[each] for each in tree_leaves(node.args)])
            elif node.users:  # a guard has none
                return None
    except (NotFused, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return None  # an operator has other arguments than its rule takes
    return Program(tuple(builder.steps)).simplified()


def _constant(tree: object) -> bool:
    return not any(isinstance(leaf, Value | Count | Zeros) for leaf in tree_leaves(tree))
