"""``.c``: a student as C99, with its header beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from dfkd_tune.export.formats.base import ExportFormat, Footprint
from dfkd_tune.export.formats.c.compiler import NONE_HERE, REMEDY, compiler, loaded
from dfkd_tune.export.formats.c.embedded import footprints
from dfkd_tune.export.formats.c.text import uncommented

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dfkd_tune.export.schema import InputSchema

FEATURE = re.compile(r"^    \w+_IN_\w+ = \d+, /\* (.*) \*/$", re.MULTILINE)
LAST = re.compile(r"^    \w+_FEATURES = \d+$", re.MULTILINE)
"""The end of the enumeration of features; a level of a feature that is called ``IN`` reads like a feature after it."""


@dataclass(frozen=True)
class C(ExportFormat):
    """C99 that allocates nothing and needs at most libm; the enumeration of its header holds the feature names.

    It takes rows. Where the teacher does not, ``--format pt2`` says how its arguments lie in them.

    Args:
        libm: whether ``tanhf``, ``expf`` and so on are those of libm; if not, approximations of a stated error are part of the
            file.
        guard: whether it has a function that says whether a row is in the student's domain.
    """

    libm: bool = True
    guard: bool = False

    precisions: ClassVar[tuple[str, ...]] = ("float32", "int8")
    holds_text: ClassVar[bool] = True
    companions: ClassVar[tuple[str, ...]] = (".h",)
    companion_mark: ClassVar[str] = ": a student of "

    def without_libm(self) -> C:
        """The format with approximations in the place of libm."""
        return replace(self, libm=False)

    def write(self, module: nn.Module, schema: InputSchema) -> bytes:
        """The source, which compiles without the header beside it."""
        from dfkd_tune.export.arrays import arrays_of
        from dfkd_tune.export.formats.c.source import Source

        return Source(arrays_of(module, "--format c"), schema, self.libm, self.guard).text().encode("ascii")

    def guarded(self) -> C:
        """The format with the guard."""
        return replace(self, guard=True)

    def beside(self, data: bytes) -> Mapping[str, bytes]:
        """The header: the first part of the source."""
        from dfkd_tune.export.formats.c.source import header_of

        return {".h": header_of(data.decode("ascii")).encode("ascii")}

    def footprint(self, data: bytes) -> Mapping[str, Footprint]:
        """Bytes on microcontrollers, if the packages of the extra ``embedded`` are installed."""
        return footprints(data.decode("ascii"))

    def unread(self) -> str | None:
        """Why no file can be compiled here."""
        return None if compiler() else f"{NONE_HERE}; {REMEDY}"

    def read(self, data: bytes, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """The compiled source."""
        return loaded(data.decode("ascii"))

    def feature_names(self, data: bytes) -> list[str]:
        """The names in the comments of the enumeration."""
        from dfkd_tune.export.formats.c.source import header_of

        features = LAST.split(header_of(data.decode("ascii")), maxsplit=1)[0]
        return [uncommented(name) for name in FEATURE.findall(features)]
