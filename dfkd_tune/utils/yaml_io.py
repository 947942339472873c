"""Read and write YAML safely: ``1e-3`` is a number, a duplicate key is an error, and errors name the line.

The size and depth of a file, and its length with expanded aliases, are limited. Values are built from the parser's
events, which takes a tenth of the time of PyYAML's nodes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dfkd_tune.errors import DfkdError
from dfkd_tune.utils.quoting import named, quoted

MOST_BYTES = 2**20
"""Largest handwritten file, in bytes."""
DEEPEST = 50
"""Largest depth of nested lists and mappings."""
UNFOLDED = 1_000_000
"""Largest number of values behind the aliases of a file."""
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?")
_OTHER = re.compile(r"[-+]?0[0-7_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""Octal and base-60 numbers of YAML 1.1, which other readers interpret differently."""
_TAGS = (None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_MERGE = "<<"

if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """A loader that also reads the numbers of YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """A dumper that knows the same numbers, so that it quotes words that look like them."""


# PyYAML follows YAML 1.1, which reads 1e-3 as a word; in YAML 1.2 it is a number.
for kind in (_Loader, _Dumper):
    kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$|^[-+]?\.\d+([eE][-+]?\d+)?$"),
        list("-+0123456789."),
    )


class _Tree:
    """Builds plain values from the events of a document."""

    def __init__(self, text: str) -> None:
        self.loader = _Loader(text)
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.words: dict[str, Any] = {}
        self.values = self.unfolded = 0

    def document(self) -> Any:
        """The value of the only document; None for an empty file."""
        self.loader.get_event()
        if self.loader.check_event(yaml.StreamEndEvent):
            return None
        self.loader.get_event()
        value = self.value(self.loader.get_event(), 0)
        self.loader.get_event()
        if not self.loader.check_event(yaml.StreamEndEvent):
            raise _wrong("a second document begins", self.loader.get_event())
        return value

    def value(self, event: yaml.Event, depth: int) -> Any:
        """The value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)  # nothing else begins a value
        self.values += 1
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        before = self.values + self.unfolded
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event)
        elif depth == DEEPEST:
            raise _wrong(f"more than {DEEPEST} lists and mappings lie within each other", event)
        elif event.tag not in _TAGS:
            raise _wrong(f"could not determine a constructor for the tag {quoted(event.tag)}", event)
        else:
            make = self.sequence if isinstance(event, yaml.SequenceStartEvent) else self.mapping
            value = make(depth + 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = value, self.values + self.unfolded - before + 1
        return value

    def alias(self, event: yaml.AliasEvent) -> Any:
        """The value of an alias; every use counts towards ``UNFOLDED``."""
        if event.anchor not in self.anchors:
            raise _wrong(f"found undefined alias {quoted(event.anchor)}", event)
        known = self.anchors[event.anchor]
        if known is None:
            raise _wrong(f"alias {quoted(event.anchor)} lies within what it stands for", event)
        self.unfolded += known[1]
        if self.unfolded > UNFOLDED:
            raise _wrong(f"its aliases stand for more than {UNFOLDED:,} values", event)
        return known[0]

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        """The value of a scalar: a number, a word, or another YAML type."""
        text, plain = event.value, event.implicit[0] and event.tag is None
        if plain and _FLOAT.fullmatch(text):
            return float(text)
        if plain and text in self.words:
            return self.words[text]
        if event.tag is None and not plain:
            return text
        if plain and _INT.fullmatch(text):
            value = int(text)
        else:
            tag = (
                event.tag
                if event.tag not in (None, "!")
                else self.loader.resolve(yaml.ScalarNode, text, event.implicit)
            )
            node = yaml.ScalarNode(tag, text, event.start_mark, event.end_mark)
            value = text if tag == "tag:yaml.org,2002:merge" else self.loader.construct_object(node)
        if plain and isinstance(value, int | float) and _OTHER.fullmatch(text):
            raise _wrong(f"{quoted(text)}: leave leading zeros and colons out of a number, or quote the word", event)
        if isinstance(value, int) and value.bit_length() > 1023:
            raise _wrong("a whole number has more digits than a number can hold", event)
        if plain:
            self.words[text] = value
        return value

    def sequence(self, depth: int) -> list[Any]:
        """The items of a list, up to its end."""
        items = []
        while not isinstance(event := self.loader.get_event(), yaml.SequenceEndEvent):
            items.append(self.value(event, depth))
        return items

    def mapping(self, depth: int) -> dict[Any, Any]:
        """The entries of a mapping, up to its end; its own entries override merged ones (``<<``)."""
        own: dict[Any, Any] = {}
        taken: list[dict[Any, Any]] = []
        while not isinstance(event := self.loader.get_event(), yaml.MappingEndEvent):
            key = self.value(event, depth)
            if not isinstance(key, str | int | float | bool):
                raise _wrong("a key must be a plain word", event)
            value = self.value(self.loader.get_event(), depth)
            if key == _MERGE and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                others = value if isinstance(value, list) else [value]
                if not all(isinstance(other, dict) for other in others):
                    raise _wrong("<< takes over a mapping, or a list of mappings", event)
                taken += others
            elif key in own:
                raise _wrong(f"key {quoted(key)} is given twice", event)
            else:
                own[key] = value
        merged: dict[Any, Any] = {}
        for other in reversed(taken):
            merged |= other
        return merged | own if taken else own


def parse(text: str, place: object, error: type[DfkdError]) -> Any:
    """Parse YAML text.

    Raises:
        error: the text is not valid YAML, too deep, or too long with expanded aliases; the message has line and column.
    """
    try:
        return _Tree(text).document()
    except yaml.MarkedYAMLError as problem:
        raise error(
            _where(problem.problem_mark, text, place), f"not valid YAML: {_one_line(problem.problem)}"
        ) from None
    except Exception as problem:
        # Tags such as !!int and !!timestamp on an invalid value raise various types of exceptions.
        raise error(place, f"not valid YAML: {_one_line(problem)}") from None


def _wrong(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, event.start_mark)


def _where(mark: yaml.Mark | None, text: str, place: object) -> str:
    """``place:line:column`` of a mark; a mark beyond the text is placed at its end."""
    if mark is None:
        return str(place)
    lines = text.splitlines()
    if mark.line < len(lines):
        return f"{place}:{mark.line + 1}:{mark.column + 1}"
    return f"{place}:{max(1, len(lines))}:{len(lines[-1]) + 1 if lines else 1}"


def _one_line(problem: object) -> str:
    return named(" ".join(str(problem)[:1000].split())) or type(problem).__name__


def read(path: Path, error: type[DfkdError], most: int = MOST_BYTES) -> Any:
    """Read a YAML file of at most ``most`` bytes.

    Raises:
        error: the file is missing, unreadable, too large, not text or not YAML.
    """
    try:
        with Path(path).open("rb") as file:
            blob = file.read(most + 1)
        text = blob[:most].decode() if len(blob) <= most else ""
    except FileNotFoundError:
        raise error(path, "no such file", remedy="give a file that is there") from None
    except UnicodeDecodeError:
        raise error(path, "not a text file, so not YAML") from None
    except OSError as problem:
        raise error(path, f"cannot be read: {problem.strerror}") from None
    if len(blob) > most:
        raise error(
            path, f"is larger than {most / 2**20:g} MiB", remedy="check that it is the right file, or shorten it"
        )
    return parse(text.removeprefix("\ufeff"), path, error)


def dump(value: Any, compact: bool = False) -> str:
    """Write plain values as YAML, keys in the given order; ``compact`` writes innermost lists and mappings inline."""
    style = None if compact else False
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=style)
