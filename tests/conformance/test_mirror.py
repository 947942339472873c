"""Tests mirror the packages: the test of ``students/mlp.py`` is ``tests/students/test_mlp.py``, or ``test_mlp_<idea>.py``.

That each file in those folders names a module is in ``test_architecture``.
"""

import ast
from pathlib import Path

import pytest

import dfkd_tune

PACKAGE = Path(dfkd_tune.__file__).parent
TESTS = Path(__file__).parents[1]
FILES = sorted(PACKAGE.rglob("*.py"))
BY_CONFORMANCE = ("base", "kinds")
"""Names of interfaces and registries, which the suites of ``tests/conformance`` hold each kind to."""


def does_something(file: Path) -> bool:
    """Whether a module has a function; names, and records without methods, are tested where they are used."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def is_mirrored(file: Path) -> bool:
    """Whether a module needs a test of its name."""
    module = file.relative_to(PACKAGE)
    named = module.stem.startswith("__") or module.stem in BY_CONFORMANCE
    return not named and does_something(file)


def files_of(module: Path) -> list[Path]:
    """Test files of a module: of its name, or of its name and an idea, unless the whole is the name of a longer one."""
    folder, others = TESTS / module.parent, {file.stem for file in (PACKAGE / module.parent).glob("*.py")}
    longer = [name for name in others if name.startswith(f"{module.stem}_")]
    found = [*folder.glob(f"test_{module.stem}.py"), *folder.glob(f"test_{module.stem}_*.py")]
    return [file for file in found if not any(f"{file.stem}_".startswith(f"test_{name}_") for name in longer)]


@pytest.mark.parametrize(
    "module", [file.relative_to(PACKAGE) for file in FILES if is_mirrored(file)], ids=lambda module: module.as_posix()
)
def test_a_module_has_tests_of_its_name(module):
    assert files_of(module), f"write tests/{module.with_name(f'test_{module.name}')}"


def test_the_rule_tells_a_module_from_a_longer_one():
    names = {file.name for file in files_of(Path("evaluation/certificate.py"))}
    assert "test_certificate.py" in names and "test_certificate_page.py" not in names
    assert files_of(Path("evaluation/nothing.py")) == []
    assert not does_something(PACKAGE / "tracking" / "tags.py") and does_something(PACKAGE / "tracking" / "states.py")
