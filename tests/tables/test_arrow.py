"""Functions of Arrow that the readers call, unseen by the type checker, are there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfkd_tune.tables import arrow

FILES = sorted(Path(arrow.__file__).parent.glob("*.py"))


def assigned(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Names and what they are given, one by one also where several are at once."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                yield from zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]


def called(file: Path) -> set[str]:
    """Attributes of ``functions()`` and of names that it was given."""
    tree = ast.parse(file.read_text())
    given = {ast.unparse(name) for name, value in assigned(tree) if ast.unparse(value) == "functions()"}
    owners = given | {"functions()"}
    return {
        each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute) and ast.unparse(each.value) in owners
    }


USED = sorted({name for file in FILES for name in called(file)})


@pytest.mark.parametrize("name", USED)
def test_a_function_that_is_called_is_there(name):
    assert callable(getattr(arrow.functions(), name))


def test_calls_are_found():
    assert len(USED) > 3
