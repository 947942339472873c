"""Names in Markdown: what a note or a description shows of a name is its letters, never what they would mean there."""

from __future__ import annotations

import re
import shlex

_SIGNS = re.compile(r"[\\`*_{}\[\]#!|~$]")
# Behind a backslash, a page may still take these for HTML, a link or somebody's name.
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
    """Text that Markdown shows as it is, on one line; sentences with names in them, too."""
    line = " ".join(str(text).split())
    return _ENTITY.sub(lambda found: _ENTITIES[found[0].lower()], _SIGNS.sub(r"\\\g<0>", line))


def argument(text: str) -> str:
    """An argument of a command that is shown to be copied: one word to a shell, on one line, and no HTML."""
    if all(character.isprintable() and character not in "<>&`" for character in text):
        return shlex.quote(text)
    codes = (c if c.isprintable() and c not in "<>&`'\\" else _code(c) for c in text)
    return f"$'{''.join(codes)}'"


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}" if character.isascii() else f"\\U{ord(character):08x}"
