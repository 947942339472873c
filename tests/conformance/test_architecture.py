"""The house as a whole: how large a file and a package grow, what is documented, what the public names are, what stays light.

Who may import whom is in ``pyproject.toml``, checked by ``make lint``.
"""

import ast
import importlib
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import dfkd_tune

PACKAGE = Path(dfkd_tune.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parents[1]
LINES, MODULES = 400, 14


@cache
def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).with_suffix("").as_posix())
class TestFile:
    def test_is_short(self, file):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES

    def test_says_what_its_public_parts_are(self, file):
        assert ast.get_docstring(tree(file)) or file.name == "__main__.py"
        for node in tree(file).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), node.name


def test_packages_stay_small():
    sizes = Counter(file.parent for file in FILES if not file.name.startswith("__"))
    assert max(sizes.values()) <= MODULES
    assert {file.name for file in PACKAGE.glob("*.py")} <= {"__init__.py", "__main__.py", "errors.py", "testing.py"}


def test_public_names_resolve():
    assert {"distill", "tune", "Recipe", "DfkdError"} <= {*dfkd_tune.__all__}
    for name in dfkd_tune.__all__:
        assert getattr(dfkd_tune, name) is not None and name in dir(dfkd_tune)
        assert getattr(dfkd_tune, name) is getattr(importlib.import_module(f"dfkd_tune.{dfkd_tune._HOMES[name]}"), name)
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = dfkd_tune.colour


def test_editors_see_the_public_names_where_they_are_imported_from():
    shown = next(
        node
        for node in tree(PACKAGE / "__init__.py").body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    imports = [node for node in shown.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module.removeprefix("dfkd_tune.") for node in imports for alias in node.names}
    assert homes == dfkd_tune._HOMES and sorted(homes) == sorted(dfkd_tune.__all__)
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", ["dfkd_tune", "dfkd_tune.cli.main"])
def test_import_is_light(name):
    """So that the command line answers at once."""
    code = f"import sys, {name}; print(*{{'torch', 'optuna', 'mlflow', 'numpy'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "file",
    [
        file.relative_to(TESTS)
        for package in PACKAGE.iterdir()
        for file in sorted((TESTS / package.name).rglob("test_*.py"))
    ],
    ids=str,
)
def test_a_test_names_its_module(file):
    """``tests/students/test_mlp.py``, or ``test_mlp_<idea>.py``, tests ``students/mlp.py``; a package counts as a module."""
    words = file.stem.removeprefix("test_").split("_")
    names = ("_".join(words[: n + 1]) for n in range(len(words)))
    tested = [(PACKAGE / file).with_name(name) for name in names]
    assert any(module.with_suffix(".py").exists() or module.is_dir() for module in tested)
