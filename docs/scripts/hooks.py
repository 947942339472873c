"""What the documentation build adds to pages: published figures, equations as MathML, references that follow the code.

In a page,

- ``{{ table NAME }}`` is a table of ``benchmarks/figures.yaml`` with its source below, ``{{ value NAME KEY }}`` one of its values,
  ``{{ cell NAME ROW | COLUMN }}`` one cell;
- ``{{ schema NAME }}`` is the table of keys of a JSON Schema in ``docs/schema/``;
- ``{{ constants MODULE }}`` is a table of a module's text constants with the docstrings below them;
- ``{{ code NAME }}`` is a Python file of the repository as a code block;
- ``{{ file NAME }}`` is a file of the repository's root, its heading included;
- ``::: dfkd_tune.NAME`` is a public name, wherever its module lies.

A page that would load anything from another host fails the build, so that the site works without a network.
"""

from __future__ import annotations

import ast
import html
import json
import re
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402

DIRECTIVE = re.compile(r"\{\{ (table|value|cell|schema|constants|code|file) ([^}]*?) \}\}")
PUBLIC = re.compile(r"^::: dfkd_tune\.(\w+)$", re.MULTILINE)
MATH = re.compile(r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)
EXTERNAL = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"'
    r'|<link\b[^>]*\brel="(?:stylesheet|preconnect|preload)"[^>]*\bhref="(?:https?:)?//[^"]*"'
    r'|<\w+ class="mermaid"'  # whose script the theme loads from another host
)

LARGEST = 10**15
"""Limits beyond this one are of the computer, not of the study: a page leaves them out."""


class PageError(ValueError):
    """A page asks for something that there is not."""


def expand(text: str) -> str:
    """A page's Markdown with its directives replaced.

    Raises:
        PageError: naming the directive.
    """

    def replaced(found: re.Match) -> str:
        try:
            return BUILDERS[found[1]](found[2])
        except (KeyError, ValueError, OSError) as error:
            raise PageError(f"{found[0]}: {error}") from error

    return DIRECTIVE.sub(replaced, text)


def _table(name: str) -> str:
    entry = figures.load()[name]
    return f"{figures.table(entry)}\n\n{figures.source(entry)}"


def _value(arguments: str) -> str:
    name, key = arguments.split()
    return str(figures.load()[name]["values"][key])


def _cell(arguments: str) -> str:
    name, _, place = arguments.partition(" ")
    row, _, column = place.partition(" | ")
    entry = figures.load()[name]
    return figures.cells(entry, row)[entry["columns"].index(column)]


def _file(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/([^)]*)\)", r"](\1)", text)  # their links start at the repository's root


def _code(name: str) -> str:
    return f"```python\n{(ROOT / name).read_text(encoding='utf-8')}```"


def _schema(arguments: str) -> str:
    """Keys, types, defaults and meanings of the objects in a schema, one table an object."""
    name, _, part = arguments.partition(" ")
    tree = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text(encoding="utf-8"))
    if part:
        tree = tree["$defs"][part]
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in tree["properties"].items():
        if "." in key:
            continue  # a leaf of a section, which has a table of its own
        given = f"`{json.dumps(field['default'])}`" if field.get("default") is not None else ""
        lines.append(f"| `{key}` | {_type(field)} | {given} | {_escape(field.get('description', ''))} |")
    return "\n".join(lines)


def _constants(name: str) -> str:
    """Names that a module declares, each with its docstring; MLflow's own and prefixes are left out."""
    module = import_module(name)
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    lines = ["| name | meaning |", "| --- | --- |"]
    for node, after in pairwise(body):
        if not (isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        targets = [part for target in node.targets for part in getattr(target, "elts", [target])]
        values = [getattr(module, target.id) for target in targets]
        if all(
            isinstance(value, str) and not value.startswith("mlflow.") and not value.endswith(".") for value in values
        ):
            shown = ", ".join(f"`{value}`" for value in values)
            lines.append(f"| {shown} | {_escape(' '.join(str(after.value.value).split()))} |")
    return "\n".join(lines)


def _type(field: dict[str, Any]) -> str:
    """A field's type in words, with its limits."""
    if "$ref" in field:
        return f"mapping ({field['$ref'].rpartition('/')[2]})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    options = field.get("anyOf", field.get("oneOf"))
    if options:
        return " or ".join(dict.fromkeys(_type(option) for option in options if option.get("type") != "null"))
    names = {"integer": "whole number", "object": "mapping", "boolean": "true or false", "string": "text"}
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    words = " or ".join(names.get(kind, kind) for kind in kinds if kind != "null")
    if words == "array":
        return f"list of {_type(field['items'])}"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {field[key]:,}" for key, sign in limits.items() if abs(field.get(key, LARGEST)) < LARGEST]
    return f"{words} {', '.join(told)}".strip()


def _escape(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("\n", " ")


BUILDERS = {
    "table": _table,
    "value": _value,
    "cell": _cell,
    "schema": _schema,
    "constants": _constants,
    "code": _code,
    "file": _file,
}


def mathml(page: str) -> str:
    """A page's HTML with its equations as MathML, which browsers draw without a script."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2]), display=display)

    return MATH.sub(drawn, page)


def external_assets(page: str) -> list[str]:
    """Tags of a page that would load something from another host."""
    return [found[0] for found in EXTERNAL.finditer(page)]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs event: before a page is rendered."""
    import dfkd_tune

    text = expand(markdown)
    return PUBLIC.sub(lambda found: f"::: dfkd_tune.{dfkd_tune._HOMES[found[1]]}.{found[1]}", text)


def on_page_content(html: str, **_: Any) -> str:
    """mkdocs event: after a page is rendered."""
    return mathml(html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """mkdocs event: before a page is written.

    Raises:
        PageError: the page would load something from another host.
    """
    if found := external_assets(output):
        raise PageError(f"{page.file.src_uri}: loads from another host: {found}")
    return output
