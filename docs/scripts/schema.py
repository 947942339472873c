"""JSON Schemas of study and features files, from the classes that read them.

    python docs/scripts/schema.py           write docs/schema/study.json and docs/schema/features.json

An editor with a YAML language server completes and checks a file whose first line is
``# yaml-language-server: $schema=PATH/study.json``.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from inspect import getdoc
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from dfkd_tune.inputs import features_file
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.search.study_file import PARTS, TeacherSection

FOLDER = Path(__file__).parent.parent / "schema"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
RANGE = {
    "type": "object",
    "properties": {"low": {"type": "number"}, "high": {"type": "number"}, "log": {"type": "boolean", "default": False}},
    "required": ["low", "high"],
    "additionalProperties": False,
    "description": "An interval that a trial draws from; log: on a logarithmic scale.",
}
ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.MULTILINE)

Tree = dict[str, Any]


def meanings(kind: type) -> dict[str, str]:
    """What the class's docstring says of each field."""
    _, _, text = (getdoc(kind) or "").partition("Args:\n")
    found: dict[str, str] = {}
    for names, meaning in ARGUMENT.findall(text):
        plain = " ".join(meaning.split()).replace("``", "`")
        plain = plain[0].upper() + plain[1:]
        found |= {name: plain for name in names.split(", ")}
    return found


def described(kind: type) -> Tree:
    """The schema of a strategy class, every field with its meaning."""
    tree = TypeAdapter(kind).json_schema()
    told = meanings(kind)
    for name, field in tree.get("properties", {}).items():
        field.pop("title", None)
        if name in told:
            field["description"] = told[name]
    tree["description"] = (getdoc(kind) or "").partition("\n")[0].replace("``", "`")
    return tree


def leaf(kinds: list[type], name: str) -> Tree:
    """What may be searched for a field: choices, or a range where it is a number."""
    one = TypeAdapter(kinds[0]).json_schema()["properties"][name]
    item = {key: value for key, value in one.items() if key not in ("title", "default")}
    choices = {"type": "array", "minItems": 1, "items": item}
    number = any(get_type_hints(kind)[name] in (int, float) for kind in kinds)
    domain = {"anyOf": [{"$ref": "#/$defs/range"}, choices]} if number else choices
    told = meanings(kinds[0]).get(name)
    return ({"description": told} if told else {}) | domain


def search() -> Tree:
    """Every leaf that can be searched, flat or below its section."""
    flat: Tree = {}
    nested: Tree = {}
    for section, registry in SECTIONS.items():
        leaves: Tree = {"kind": {"type": "array", "minItems": 1, "items": {"enum": list(registry)}}}
        owners: dict[str, list[type]] = {}
        for kind in registry.values():
            for field in fields(kind):
                owners.setdefault(field.name, []).append(kind)
        leaves |= {name: leaf(kinds, name) for name, kinds in owners.items()}
        nested[section] = {"type": "object", "properties": leaves, "additionalProperties": False}
        place = f"#/properties/search/properties/{section}/properties"
        flat |= {f"{section}.{name}": {"$ref": f"{place}/{name}"} for name in leaves}
    return {
        "type": ["object", "null"],
        "description": "Leaves of the recipe that trials vary. Left out: the default space. {}: none.",
        "properties": nested | flat,
        "additionalProperties": False,
    }


def study() -> Tree:
    """The schema of a study file."""
    parts = {name: described(kind) for name, kind in PARTS.items()}
    path = {
        "type": "string",
        "minLength": 1,
        "description": "A model file, a model of MLflow, or package.module:function.",
    }
    return {
        "$schema": DRAFT,
        "title": "dfkd-tune study file",
        "type": "object",
        "properties": {
            "study": {"$ref": "#/$defs/study", "description": "Name, length and objective of the study."},
            "teacher": {"anyOf": [path, {"$ref": "#/$defs/teacher"}], "description": "The teacher. Required."},
            "features": {"type": "string", "description": "Path of a features file, relative to this file."},
            "student": {"$ref": "#/$defs/student", "description": "How large a student may be."},
            "budget": {"$ref": "#/$defs/budget", "description": "What each trial may spend."},
            "preset": {"enum": list(PRESETS), "description": "The recipe that leaves outside of `search` come from."},
            "search": search(),
        },
        "required": ["teacher"],
        "additionalProperties": False,
        "$defs": parts | {"teacher": described(TeacherSection), "range": RANGE},
    }


def features() -> Tree:
    """The schema of a features file."""
    names = {"type": "array", "minItems": 2, "items": {"type": "string"}}
    return {
        "$schema": DRAFT,
        "title": "dfkd-tune features file",
        "type": "object",
        "properties": {
            "features": {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/feature"}]},
                "description": "The features, in the order of the teacher's inputs.",
            },
            "grid": {"$ref": "#/$defs/grid", "description": "Pixels of an image, in place of `features`."},
            "simplex": names | {"description": "Names of the features that are shares of a whole."},
            "rank_correlation": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number", "minimum": -1, "maximum": 1}},
                "description": "Spearman rank correlations, lower triangle, one row per feature.",
            },
        },
        "additionalProperties": False,
        "$defs": {"feature": described(Feature), "grid": described(features_file.Grid)},
    }


SCHEMAS = {"study": study, "features": features}


def text(name: str) -> str:
    """A schema file as it should be."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
