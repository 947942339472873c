"""Private parts of other libraries that ``dfkd_tune.compat`` uses: a release that drops one is told by its name and version."""

import ast
import importlib
from importlib.metadata import version
from pathlib import Path

import optuna
import pytest
from private_parts import DISTRIBUTIONS, is_private, require

import dfkd_tune
from dfkd_tune.compat import optuna as optuna_private

PACKAGE = Path(dfkd_tune.__file__).parent
PUBLIC = {"_replace", "_exit"}
"""Names with an underscore that their libraries document: of a named tuple and of ``os``."""


def imports() -> list[tuple[str, str]]:
    """``(module, name)`` of everything that ``compat`` imports from a private module, or by a private name."""
    found = []
    for file in sorted((PACKAGE / "compat").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                found += [
                    (node.module, alias.name) for alias in node.names if is_private(f"{node.module}.{alias.name}")
                ]
    return found


@pytest.mark.parametrize(("module", "name"), imports(), ids=".".join)
def test_what_is_imported_is_there(module, name):
    library = module.partition(".")[0]
    try:
        found = importlib.import_module(module)
    except ImportError:
        release = version(DISTRIBUTIONS.get(library, library))
        pytest.fail(f"{library} {release} has no module {module}, which dfkd_tune.compat.{library} uses")
    if name != "models":  # a module of its own
        require(found, name, module)


def test_the_message_names_library_release_and_part():
    with pytest.raises(AssertionError, match=rf"optuna {optuna.__version__} has no optuna.study.Study._gone"):
        require(optuna.study.Study, "_gone", "optuna.study.Study")


def own_names(trees: list[ast.AST]) -> set[str]:
    """Names that this package gives to functions, classes, variables and attributes."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    return defined | stored | own


def test_no_other_module_uses_a_private_part():
    trees = {
        file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text())
        for file in PACKAGE.rglob("*.py")
        if "compat" not in file.parts and "templates" not in file.parts
    }
    own, found = own_names(list(trees.values())), []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and is_private(f"{node.module}.{node.names[0].name}"):
                found.append(f"{name}: from {node.module} import {node.names[0].name}")
            elif isinstance(node, ast.Import):
                found += [f"{name}: import {alias.name}" for alias in node.names if is_private(alias.name)]
            elif (isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | PUBLIC) or (
                isinstance(node, ast.Attribute) and node.attr in optuna_private.REPEATED
            ):
                found.append(f"{name}: {ast.unparse(node)}")
    overridden = {"search/storage.py: super(PatientStorage, self)." + name for name in optuna_private.OVERRIDDEN}
    assert set(found) - overridden == set()
