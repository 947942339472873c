"""Bytes that a student in C takes on microcontrollers, measured from an object that ``ziglang`` builds for them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from dfkd_tune.export.formats.base import Footprint
from dfkd_tune.export.formats.c.compiler import compile_source, zig

TARGETS = {
    "Cortex-M0+": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
    "Cortex-M4": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4"),
}
"""Microcontrollers: without a floating-point unit, and with one."""
FLAGS = ("-std=c99", "-Os", "-c", "-Wframe-larger-than=0")
FRAME = re.compile(r"stack frame size \((\d+)\)")
WRITABLE, ALLOCATED = 0x1, 0x2
"""Flags of a section in the ELF format."""


def footprints(source: str) -> dict[str, Footprint]:
    """Bytes by microcontroller; empty if ``ziglang`` or ``pyelftools`` is not installed.

    Args:
        source: content of the ``.c`` file.

    Raises:
        ExportError: the compiler does not take the source.
    """
    command = zig()
    if command is None or find_spec("elftools") is None:
        return {}
    with TemporaryDirectory() as folder:
        file = Path(folder, "student.c")
        file.write_text(source, encoding="ascii")
        return {name: _measured(command, file, flags) for name, flags in TARGETS.items()}


def _measured(command: list[str], file: Path, flags: tuple[str, ...]) -> Footprint:
    from elftools.elf.elffile import ELFFile

    out = file.with_suffix(".o")
    told = compile_source(command, file, out, *flags, *FLAGS)
    # No function calls itself, so that the stack holds each of them once at most.
    stack = sum(map(int, FRAME.findall(told)))
    with out.open("rb") as held:
        sections = [each for each in ELFFile(held).iter_sections() if each["sh_flags"] & ALLOCATED]
        flash = sum(each["sh_size"] for each in sections if each["sh_type"] != "SHT_NOBITS")
        ram = sum(each["sh_size"] for each in sections if each["sh_flags"] & WRITABLE)
    return Footprint(flash, ram + stack)
