"""The rooms of the house: who may import whom, who owns which dependency, and how large a file grows."""

import ast
import importlib
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dfkd_tune

PACKAGE = Path(dfkd_tune.__file__).parent
ROWS = [
    {"errors"},
    {
        "activations",
        "addresses",
        "allocator",
        "confined",
        "context",
        "context_provider",
        "files",
        "imports",
        "machine",
        "markdown",
        "places",
        "products",
        "provenance",
        "archive",
        "quoting",
        "quickstart",
        "second_order",
        "seeds",
        "pages",
        "sqlite_files",
        "strategy",
        "waits",
        "yamls",
    },
    {
        "bounds",
        "copula",
        "encoding",
        "exact",
        "feature",
        "features_file",
        "finish",
        "generators",
        "input_bounds",
        "inputs",
        "losses",
        "optimizers",
        "ordering",
        "pruning",
        "quantiles",
        "recollection",
        "sinh_arcsinh",
        "starts",
        "students",
        "cells",
        "columnar",
        "delimited",
        "tables",
        "teachers",
    },
    {"recipe"},
    {
        "answers",
        "cohort",
        "distillation",
        "judge",
        "latency",
        "member",
        "normalized",
        "gradient_mask",
        "outlying",
        "population",
        "probes",
        "problem",
        "sizing",
    },
    {"attack", "certificate", "certificate_page", "declared", "regions", "stress"},
    {"spec", "space", "kinds"},
    {
        "drawing",
        "exporting",
        "given_run",
        "precision",
        "runs",
        "shipper",
        "shipping",
        "slots",
        "spool",
        "storage",
        "stores",
        "student_figures",
        "synthetic",
        "tracking",
    },
    {
        "agreement",
        "calibration",
        "callbacks",
        "describe",
        "estimate",
        "queries",
        "figures",
        "findings",
        "report",
        "sentences",
        "story",
        "issuing",
        "live",
        "objective",
        "prepared",
        "progress",
        "promotion",
        "recorded",
        "registry",
        "replay",
        "run_lookup",
        "screen",
        "searching",
        "served_model",
        "serving",
        "study",
        "sync",
    },
    {"workers"},
    {"cluster"},
    {"commands"},
    {"__init__", "__main__", "cli"},
]
"""Each row imports only from rows above it, or from its own; a new module takes its place here."""
OWNERS = {
    "click": {"cli", "commands"},
    "distributed": {"cluster"},
    "matplotlib": {"drawing", "figures", "student_figures", "story"},
    "mlflow": {
        "context_provider",
        "registry",
        "replay",
        "run_lookup",
        "runs",
        "served_model",
        "serving",
        "stores",
        "story",
        "teachers/from_mlflow",
        "tracking",
    },
    "optuna": {
        "agreement",
        "callbacks",
        "estimate",
        "figures",
        "findings",
        "objective",
        "progress",
        "promotion",
        "recorded",
        "screen",
        "searching",
        "sentences",
        "slots",
        "space",
        "storage",
        "story",
        "study",
        "sync",
    },
    "yaml": {"yamls"},
}
"""Modules, or folders, that alone import a dependency."""
FILES = sorted(PACKAGE.rglob("*.py"))
LINES = 400


def name_of(file):
    return file.relative_to(PACKAGE).with_suffix("").as_posix()


def room(file):
    """The module or folder of the package that a file belongs to."""
    return name_of(file).partition("/")[0]


@cache
def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file, outside=False):
    """Modules a file imports, by path: ``("dfkd_tune", "generators", "direct")``; or the first names of foreign ones."""
    here = (PACKAGE.name, *file.relative_to(PACKAGE).parts[:-1])
    for node in _running(tree(file)):
        if isinstance(node, ast.Import):
            found = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            found = [(*base, alias.name) for alias in node.names]
        else:
            continue
        for path in found:
            if (path[0] != PACKAGE.name) == outside:
                yield path[0] if outside else path


def _running(node):
    """All nodes but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _running(child)


def row(name):
    return next(i for i, names in enumerate(ROWS) if name in names)


def module(path):
    """The file that ``("dfkd_tune", "seeds", "derive")`` comes from."""
    for depth in range(len(path), 0, -1):
        place = PACKAGE.joinpath(*path[1:depth])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    raise AssertionError(path)


def test_every_module_has_its_row():
    assert {room(file) for file in FILES} == set().union(*ROWS)
    assert sum(map(len, ROWS)) == len(set().union(*ROWS))


@pytest.mark.parametrize("file", FILES, ids=name_of)
class TestFile:
    def test_imports_from_rows_above_or_its_own(self, file):
        for path in imports(file):
            assert row(room(module(path))) <= row(room(file)), ".".join(path)

    def test_leaves_dependencies_to_their_owners(self, file):
        for name in imports(file, outside=True):
            assert name not in OWNERS or OWNERS[name] & {name_of(file), room(file)}, name

    def test_is_short(self, file):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES

    def test_says_what_its_public_parts_are(self, file):
        assert ast.get_docstring(tree(file)) or file.name == "__main__.py"
        for node in tree(file).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), node.name


def test_nothing_imports_in_a_circle():
    graph = {file: {module(path) for path in imports(file)} - {file} for file in FILES}
    TopologicalSorter(graph).prepare()


def test_owners_use_what_they_own():
    used = {(name, of(file)) for file in FILES for name in imports(file, outside=True) for of in (name_of, room)}
    assert {(name, owner) for name, owners in OWNERS.items() for owner in owners} <= used


def test_public_names_resolve():
    assert {"distill", "run_study", "Recipe", "DfkdError"} <= {*dfkd_tune.__all__}
    for name in dfkd_tune.__all__:
        assert getattr(dfkd_tune, name) is not None and name in dir(dfkd_tune)
        assert getattr(dfkd_tune, name) is getattr(importlib.import_module(f"dfkd_tune.{dfkd_tune._HOMES[name]}"), name)
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = dfkd_tune.colour


@pytest.mark.parametrize("name", ["dfkd_tune", "dfkd_tune.cli.main"])
def test_import_is_light(name):
    """So that the command line answers at once."""
    code = f"import sys, {name}; print(*{{'torch', 'optuna', 'mlflow', 'numpy'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
