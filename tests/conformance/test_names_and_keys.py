"""Names that are recorded are each declared once, and no other module spells one out; public ones are explained."""

import ast
import inspect
import re
from pathlib import Path

import dfkd_tune
from dfkd_tune.search import attributes
from dfkd_tune.tracking import tags
from dfkd_tune.tracking.states import RunStatus, State
from dfkd_tune.training import metrics

PACKAGE = Path(dfkd_tune.__file__).parent
MODULES = sorted(file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py"))


def strings(module: str) -> list[str]:
    """The string constants of a module that are values, parts of f-strings included, docstrings left out."""
    tree = ast.parse((PACKAGE / module).read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]


def declared(module) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def spelled(names: set[str], owner: str) -> dict[str, set[str]]:
    """Modules that spell out one of these names, which ``owner`` declares."""
    found = {module: {*strings(module)} & names for module in MODULES if module != owner}
    return {module: values for module, values in found.items() if values}


def test_no_other_module_spells_a_tag():
    assert spelled(declared(tags), "tracking/tags.py") == {}
    ours = {module: [text for text in strings(module) if tags.PREFIX in text] for module in MODULES}
    assert {module for module, found in ours.items() if found} == {"tracking/tags.py"}


def test_no_other_module_spells_a_state():
    assert spelled({*RunStatus, *State}, "tracking/states.py") == {}


def test_no_other_module_spells_a_grouped_metric():
    assert spelled({name for name in declared(metrics) if "/" in name}, "training/metrics.py") == {}


def test_attributes_of_optuna_are_read_by_their_constants():
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
            read = isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("user_attrs")
            called = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("user_attrs.get", ".set_user_attr")
            )
            keys = [node.slice] if read else node.args[:1] if called else []
            found += [f"{module}: {ast.unparse(key)}" for key in keys if isinstance(key, ast.Constant)]
    assert found == []


def test_what_is_declared_differs():
    for module in (tags, attributes, metrics):
        names = [name for name, value in vars(module).items() if name.isupper() and isinstance(value, str)]
        assert len({getattr(module, name) for name in names}) == len(names) > 5


def test_help_of_every_public_name_has_an_example():
    without = []
    for name in dfkd_tune.__all__:
        text = inspect.getdoc(getattr(dfkd_tune, name)) or ""
        if name != "PRESETS" and not re.search(r"\n\n    \S", text.partition("Args:")[0]):
            without.append(name)
    assert without == []
