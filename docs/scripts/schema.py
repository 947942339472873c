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

from dfkd_tune.inputs.arguments import DTYPES
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.grid import Grid
from dfkd_tune.inputs.window import Channel, Window
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.search.optuna_kinds import PRUNERS, SAMPLERS
from dfkd_tune.search.study_file import PARTS, TeacherSection
from dfkd_tune.utils.plugins import Registry

FOLDER = Path(__file__).parent.parent / "schema"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
RANGE = {
    "type": "object",
    "properties": {"low": {"type": "number"}, "high": {"type": "number"}, "log": {"type": "boolean", "default": False}},
    "required": ["low", "high"],
    "additionalProperties": False,
    "description": "An interval that a trial draws from; log: on a logarithmic scale.",
}
TRIANGLE = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number", "minimum": -1, "maximum": 1}},
}
CHANNELS = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/channel"}]},
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
    told = {name: words for base in reversed(kind.__mro__) for name, words in meanings(base).items()}
    for name, field in tree.get("properties", {}).items():
        field.pop("title", None)
        if name in told:
            field["description"] = told[name]
    tree["description"] = (getdoc(kind) or "").partition("\n")[0].replace("``", "`")
    return tree


def value(having: list[type], name: str) -> Tree:
    """A field of the kinds of a section that have it."""
    one = TypeAdapter(having[0]).json_schema()["properties"][name]
    told = meanings(having[0]).get(name)
    plain = {key: part for key, part in one.items() if key not in ("title", "default")}
    return ({"description": told} if told else {}) | plain


def owners(section: str) -> dict[str, list[type]]:
    """Field -> the kinds of a section that have it."""
    found: dict[str, list[type]] = {}
    for _, kind in SECTIONS[section].usable():
        for field in fields(kind):
            found.setdefault(field.name, []).append(kind)
    return found


def kinds(section: str) -> list[str]:
    """The kinds of a section, by name."""
    return [name for name, _ in SECTIONS[section].usable()]


def fixed(section: str) -> Tree:
    """What a study file may fix of a section."""
    return {"kind": {"enum": kinds(section)}} | {name: value(having, name) for name, having in owners(section).items()}


def leaf(having: list[type], name: str) -> Tree:
    """What may be searched for a field: choices, or a range where it is a number."""
    one = value(having, name)
    told = {"description": one.pop("description")} if "description" in one else {}
    choices = {"type": "array", "minItems": 1, "items": one}
    number = any(get_type_hints(kind)[name] in (int, float) for kind in having)
    return told | ({"anyOf": [{"$ref": "#/$defs/range"}, choices]} if number else choices)


def search() -> Tree:
    """Every leaf that can be searched, flat or below its section."""
    flat: Tree = {}
    nested: Tree = {}
    for section in SECTIONS:
        leaves: Tree = {"kind": {"type": "array", "minItems": 1, "items": {"enum": kinds(section)}}}
        leaves |= {name: leaf(having, name) for name, having in owners(section).items()}
        nested[section] = {"type": "object", "properties": leaves, "additionalProperties": False}
        place = f"#/properties/search/properties/{section}/properties"
        flat |= {f"{section}.{name}": {"$ref": f"{place}/{name}"} for name in leaves}
    return {
        "type": ["object", "null"],
        "description": "Leaves of the recipe that trials vary. Left out: the default space. {}: none.",
        "properties": nested | flat,
        "additionalProperties": False,
    }


def chosen(registry: Registry[Any], what: str) -> Tree:
    """A kind of sampler or pruner: its name, or a mapping with the options of its class."""
    kinds = {"enum": list(registry)}
    mapping = {"type": "object", "properties": {"kind": kinds}, "required": ["kind"]}
    return {
        "anyOf": [kinds, mapping],
        "description": f"{what}: a name, or a mapping with kind and options of its class.",
    }


def study() -> Tree:
    """The schema of a study file."""
    parts = {name: described(kind) for name, kind in PARTS.items()}
    parts["student"]["properties"] |= fixed("student")
    sections: Tree = {}
    leaves: Tree = {}
    for section in SECTIONS:
        if section != "student":
            parts[section] = {"type": "object", "properties": fixed(section), "additionalProperties": False}
            sections[section] = {"$ref": f"#/$defs/{section}", "description": f"The {section} that every trial has."}
        place = f"#/$defs/{section}/properties"
        leaves |= {f"{section}.{name}": {"$ref": f"{place}/{name}"} for name in fixed(section)}
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
            "student": {"$ref": "#/$defs/student", "description": "How large a student may be, and its architecture."},
            "budget": {"$ref": "#/$defs/budget", "description": "What each trial may spend."},
            "preset": {"enum": list(PRESETS), "description": "The recipe that leaves outside of `search` come from."},
            "sampler": chosen(SAMPLERS, "What Optuna tries next"),
            "pruner": chosen(PRUNERS, "Which trials are stopped early"),
            "search": search(),
        }
        | sections
        | leaves,
        "required": ["teacher"],
        "additionalProperties": False,
        "$defs": parts | {"teacher": described(TeacherSection), "range": RANGE},
    }


def group() -> Tree:
    """The schema of one group of a mixture of Gaussian copulas."""
    numbers: Tree = {"type": "array", "items": {"type": "number"}}
    rows = {"type": "array", "items": numbers, "description": "Covariances of the normal scores, lower triangle."}
    properties = {
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "description": "Share of the rows."},
        "mean": numbers | {"description": "Means of the normal scores, one a feature."},
        "covariance": rows,
    }
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def argument() -> Tree:
    """The schema of what is declared of one argument."""
    own: Tree = {
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "description": "Shape of the argument without the batch, for a teacher that does not tell it.",
        },
        "dtype": {"enum": [*DTYPES], "description": "Dtype of the argument, for a teacher that does not tell it."},
    }
    values = {key: part for key, part in described(Feature)["properties"].items() if key != "name"}
    lists: Tree = {
        "features": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/feature"}]},
            "description": "A name or a mapping for each value, in row-major order.",
        },
        "window": {"$ref": "#/$defs/window", "description": "The values are channels at successive steps."},
        "grid": {"$ref": "#/$defs/grid", "description": "The values are pixels."},
    }
    return {
        "type": ["object", "null"],
        "properties": own | lists | values,
        "additionalProperties": False,
        "description": "What is declared of one argument of the teacher.",
    }


def shaped(kind: type, **parts: Tree) -> Tree:
    """The schema of a window or grid, with what its class leaves to other checks."""
    tree = described(kind)
    for name, part in ({"correlation": TRIANGLE} | parts).items():
        tree["properties"][name] = part | {"description": tree["properties"][name]["description"]}
    return tree


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
            "window": {
                "$ref": "#/$defs/window",
                "description": "Channels at successive steps, in place of `features`.",
            },
            "grid": {"$ref": "#/$defs/grid", "description": "Pixels of an image, in place of `features`."},
            "arguments": {
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/argument"},
                "description": "Arguments of the teacher by name, in place of `features`.",
            },
            "simplex": names | {"description": "Names of the features that are shares of a whole."},
            "rank_correlation": TRIANGLE
            | {"description": "Spearman rank correlations, lower triangle, one row per feature."},
            "copula_mixture": {
                "type": "array",
                "items": {"$ref": "#/$defs/group"},
                "description": "A mixture of Gaussian copulas, in place of `rank_correlation`.",
            },
        },
        "additionalProperties": False,
        "$defs": {
            "feature": described(Feature),
            "channel": described(Channel),
            "window": shaped(Window, channels=CHANNELS),
            "grid": shaped(Grid),
            "argument": argument(),
            "group": group(),
        },
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
