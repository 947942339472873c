"""The source of a student: one file of C99, whose first part is the header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd_tune.errors import ExportError
from dfkd_tune.export.arrays import StudentArrays
from dfkd_tune.export.formats.c.constants import FLOAT_BYTES, indices, parts_of
from dfkd_tune.export.formats.c.guard import domain_constants
from dfkd_tune.export.formats.c.text import array, comment, identifier, number, unique
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import MISSING, Encoding

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
NEEDED = {
    "hyperbolic": ("tanhf",),
    "sigmoid": ("expf",),
    "silu": ("expf",),
    "exponential": ("expf",),
    "elu": ("expm1f",),
    "gelu": ("erfcf",),
}
"""Function of ``activations.c.jinja`` -> functions of libm that it calls."""
WORST = {
    "hyperbolic": "tanh within 4e-7",
    "sigmoid": "the sigmoid within 3e-7",
    "exponential": "exp of numbers up to 0 within 1e-7",
    "elu": "elu within 1e-7",
    "gelu": "gelu within 6e-7",
}
"""Function of ``activations.c.jinja`` -> the largest error of its approximation, over all float32."""
FIRST = {"silu": ("sigmoid",), "sigmoid": ("hyperbolic",), "elu": ("exponential",), "gelu": ("exponential",)}
"""Function of ``activations.c.jinja`` -> functions of the same file that it calls, without libm."""


@dataclass(frozen=True)
class Source:
    """Writes a student's source.

    Args:
        student: the student as arrays.
        schema: schema of its inputs.
        libm: whether functions of libm are called; if not, they are approximated (``activations.c.jinja``).
        guard: whether there is a function that says whether a row is in the student's domain.
    """

    student: StudentArrays
    schema: InputSchema
    libm: bool
    guard: bool = False

    def text(self) -> str:
        """The content of the ``.c`` file, in ASCII. It starts with that of the ``.h`` file."""
        parts, encoding = parts_of(self.student), self.student.encoding
        own = {} if encoding is None else _encoding_values(encoding)
        domain = self._domain()
        constants = [*([] if encoding is None else _encoding_constants(encoding)), *parts.constants]
        constants += [] if domain is None else domain_constants(domain, self.schema.encoding.dtype == "float64")
        used = self._called(parts.used)
        values = {**self._names(), **own, **parts.values, "domain": domain}
        if domain is not None:
            values["farthest"] = number(domain["most"] * max(1, len(domain["ordered"])))
        header = self._render("student.h.jinja", **values, **self._header(FLOAT_BYTES * parts.stack, used))
        indexed = self.student.shape is not None and self.student.shape.index is not None
        return self._render(
            "student.c.jinja",
            header=header,
            functions=[f"extern float {each}(float);" for each in self._needed(used)],
            constants=constants,
            kind=self.student.kind,
            encoded=encoding is not None,
            used=used,
            libm=self.libm,
            most=parts.most,
            column=lambda place: f"place_of[{place}]" if indexed else place,
            **values,
        )

    def _names(self) -> dict[str, Any]:
        prefix = identifier(self.schema.stem, "student").lower()
        bias = self.student.arrays.get("out_bias")
        outputs = len(self.student.layers[-1][1]) if bias is None else len(bias)
        return {"prefix": prefix, "upper": prefix.upper(), "outputs": outputs}

    def _domain(self) -> Mapping[str, Any] | None:
        """The domain of a guarded student; None of one without a guard."""
        if self.guard and self.schema.domain is None:
            raise ExportError(
                "--guard", "this student has no domain to guard: its features are too many", remedy="leave it out"
            )
        return self.schema.domain if self.guard else None

    def _header(self, stack: int, used: list[str]) -> dict[str, Any]:
        upper = self._names()["upper"]
        features = unique(identifier(each, "x").upper() for each in self.schema.names)
        words = [
            (f"{feature}_{identifier(text, 'x').upper()}", code, text)
            for name, feature in zip(self.schema.names, features, strict=True)
            for code, text in enumerate(self.schema.labels.get(name, []))
        ]
        levels = unique(name for name, *_ in words)
        encoding, needed = self.student.encoding, self._needed(used)
        gaps = encoding is not None and (
            bool(encoding.gapped) or any(MISSING in each for each in encoding.levels.values())
        )
        return {
            "guard": f"{upper}_H",
            # Not NAME_MAX or the like: a header of C may have a macro of that name.
            "names": [(f"{upper}_IN_{e}", comment(t)) for e, t in zip(features, self.schema.names, strict=True)],
            "labels": [
                (f"{upper}_LEVEL_{name}", code, comment(text))
                for name, (_, code, text) in zip(levels, words, strict=True)
            ],
            "approximated": [] if self.libm else [WORST[each] for each in used if each in WORST],
            "about": [f"Written by dfkd-tune {version('dfkd-tune')}.", *map(comment, self.schema.about)],
            "real": "double" if self.schema.encoding.dtype == "float64" else "float",
            "needs": f"of libm {', '.join(needed)} alone" if needed else "no library",
            "gaps": gaps,
            "stack": stack,
        }

    def _called(self, used: tuple[str, ...]) -> list[str]:
        """The functions that are called, and those that they call."""
        found = [each for each in used if each]
        for each in found:
            further = FIRST.get(each, ()) if not self.libm or each == "silu" else ()
            found += [other for other in further if other not in found]
        return found

    def _needed(self, used: list[str]) -> list[str]:
        """The functions of libm that are called."""
        return sorted({name for each in used for name in NEEDED.get(each, ())}) if self.libm else []

    def _render(self, template: str, **values: Any) -> str:
        return _environment().get_template(template).render(values).rstrip("\n") + "\n"


def activations(names: Iterable[str], libm: bool) -> str:
    """The functions of these names in C; see ``activations.c.jinja``."""
    return _environment().get_template("activations.c.jinja").render(used=[*names], libm=libm)


def header_of(source: str) -> str:
    """The content of the ``.h`` file, with which the source starts."""
    guard = guard_of(source)
    end = f"#endif /* {guard} */\n"
    return source[: source.index(end) + len(end)]


def guard_of(source: str) -> str:
    """The macro that guards the header."""
    return next(line.split()[1] for line in source.splitlines() if line.startswith("#ifndef "))


def _encoding_values(encoding: Encoding) -> dict[str, Any]:
    return {
        "plain": encoding.plain,
        "ordered": len(encoding.ordered),
        "levels": sum(map(len, encoding.levels.values())),
        "gapped": bool(encoding.gapped),
        "any_missing": any(MISSING in each for each in encoding.levels.values()),
    }


def _encoding_constants(encoding: Encoding) -> list[str]:
    double, ordered = encoding.dtype == "float64", encoding.ordered
    real = encoding.dtype.replace("float64", "double").replace("float32", "float")

    def reals(name: str, values: list[float]) -> str:
        return array(real, name, (number(value, double) for value in values))

    made = []
    if ordered:
        made += [reals(name, [getattr(encoding, name)[i] for i in ordered]) for name in ("center", "scale")]
        made += [] if encoding.plain else [indices("place", ordered)]
    if encoding.levels:
        cells = [(i, *cell) for i, levels in encoding.levels.items() for cell in _cells(levels)]
        one = number(1.0, double)
        bounds = f"-{one} / {number(0.0, double)}", f"{one} / {number(0.0, double)}"  # infinite
        made += [indices("level", [i for i, *_ in cells])]
        made += [array(real, "above", (bounds[0] if low is None else number(low, double) for _, low, _, _ in cells))]
        made += [array(real, "upto", (bounds[1] if high is None else number(high, double) for _, _, high, _ in cells))]
        if any(missing for *_, missing in cells):
            made += [array("float", "level_missing", ("1.0f" if missing else "0.0f" for *_, missing in cells))]
    if encoding.gapped:
        made += [indices("gapped", encoding.gapped)]
        made += (
            [array("unsigned char", "fillable", (str(int(i in encoding.gapped)) for i in ordered))] if ordered else []
        )
    return made


def _cells(levels: list[Any]) -> list[tuple[float | None, float | None, bool]]:
    """Per level ``(above, up to, is missing)``, as ``inputs.encoding`` has them; None is an infinite bound."""
    numbers = [each for each in levels if each != MISSING]
    middles = [None, *((a + b) / 2 for a, b in pairwise(numbers)), None]
    cells = [(low, high, False) for low, high in pairwise(middles)] if numbers else []
    # Nothing lies between these two: only a missing value is of this level.
    return cells + [(0.0, 0.0, True)] * (MISSING in levels)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
