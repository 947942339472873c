"""Escape text for Markdown, so that names appear literally in notes and descriptions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_SIGNS = re.compile(r"[\\`*_{}\[\]#!|~$]")
# After a backslash, a page may still interpret these as HTML, a link or a user name.
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "@": "&#64;",
    "://": ":&#47;&#47;",
    "www.": "www&#46;",
}
_ENTITY = re.compile("|".join(map(re.escape, _ENTITIES)), re.IGNORECASE)


def escaped(text: object) -> str:
    """Escape text, names or whole sentences, so that Markdown shows it literally on one line."""
    line = " ".join(str(text).split())
    return _ENTITY.sub(lambda found: _ENTITIES[found[0].lower()], _SIGNS.sub(r"\\\g<0>", line))


def argument(text: str) -> str:
    """Quote an argument for a command that users copy: one shell word, on one line, without HTML."""
    if all(character.isprintable() and character not in "<>&`" for character in text):
        return shlex.quote(text)
    codes = (c if c.isprintable() and c not in "<>&`'\\" else _code(c) for c in text)
    return f"$'{''.join(codes)}'"


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}" if character.isascii() else f"\\U{ord(character):08x}"


def with_section(note: str, title: str, lines: Sequence[str]) -> str:
    """A note whose section ``### title`` holds these lines; other text is kept. The section is new at the end, or replaced."""
    kept, section = without_section(note, title), "\n".join([f"### {title}", *lines])
    return f"{kept}\n\n{section}" if kept else section


def without_section(note: str, title: str) -> str:
    """A note without the section ``### title``."""
    parts = re.split(r"(?m)^(?=### )", note)
    return "".join(part for part in parts if part.partition("\n")[0].strip() != f"### {title}").rstrip()
