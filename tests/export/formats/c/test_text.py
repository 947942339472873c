"""Nothing that a study is called, or says of its student, changes what C source does."""

import re
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from dfkd_tune.export.formats.c import compiler
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.c.source import header_of
from dfkd_tune.export.formats.c.text import comment, number, uncommented
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encoding

NETWORK = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
HOSTILE = [
    "*/ int main(void) { return 1; } /*",
    "*??/\n/ #include </etc/passwd>",
    "// \\\n*/",
    'a"; #error x',
    "??/",
    "int",
    "MAX",
    "",
    " ",
    "é*/",
    "\u202e*/",
    "<U+002A>/",
    "x\r\n#define float double",
    "FEATURES",
    "0",
    "a b",
    "a_b",
]
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(HOSTILE))


def written(
    names: list[str], about: tuple[str, ...] = (), stem: str = "student", words: list[str] | None = None
) -> str:
    rows = torch.zeros(2, 3)
    levels = {names[0]: words} if words else {}
    units = InputSchema(names, Encoding([0.0] * 3, [1.0] * 3), rows, levels=levels, about=about, stem=stem)
    return C().write(NETWORK, units).decode("ascii")


def code(source: str) -> list[str]:
    """What a compiler sees: without comments, and with plain words for the names."""
    text = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return [line.rstrip() for line in re.sub(r"\b\w+_(IN|LEVEL)_\w+", "NAME", text).splitlines() if line.strip()]


PLAIN = code(written(["a", "b", "c"], (), words=["u", "v"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(TEXTS, min_size=3, max_size=3, unique=True),
    st.lists(TEXTS, max_size=3),
    st.lists(TEXTS, min_size=2, max_size=2, unique=True),
)
@example(["IN", "", "0"], [], ["", "0"])
def test_only_the_names_of_constants_differ(names, about, words):
    source = written(names, tuple(about), words=words)
    assert code(source) == PLAIN
    assert C().feature_names(source.encode()) == names
    for kind in ("IN", "LEVEL"):
        made = re.findall(rf"^    (STUDENT_{kind}_[A-Z0-9_]+) = ", source, re.MULTILINE)
        assert len(set(made)) == len(made) == {"IN": 3, "LEVEL": 2}[kind]
    assert "??" not in source and "\\" not in source and "\r" not in source


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_a_file_of_any_name_has_names_of_c(stem):
    source = written(["a", "b", "c"], stem=stem)
    prefix = re.search(r"void (\w+)_predict", source)[1]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", prefix)
    plain = re.sub(rf"\b{prefix.upper()}_", "STUDENT_", re.sub(rf"\b{prefix}_", "student_", source))
    assert code(plain) == code(written(["a", "b", "c"]))


@given(TEXTS)
def test_a_comment_is_read_back(text):
    assert uncommented(comment(text)) == text
    assert not set(comment(text)) & set("*\\?\n\r") and comment(text).isascii()


def test_a_compiler_takes_the_worst_of_them(tmp_path):
    command = compiler.compiler()
    if command is None:
        pytest.skip("no compiler")
    for first in range(0, len(HOSTILE) - 2, 3):
        names = HOSTILE[first : first + 3]
        source = tmp_path / "hostile.c"
        source.write_text(written(names, tuple(HOSTILE), names[0], HOSTILE[:5]), encoding="ascii")
        done = subprocess.run(
            [*command, "-std=c99", "-trigraphs", "-Wall", "-pedantic", "-Werror", "-c", source, "-o", tmp_path / "x.o"]
        )
        assert done.returncode == 0
        (tmp_path / "hostile.h").write_text(header_of(source.read_text()), encoding="ascii")
        (tmp_path / "user.c").write_text(
            '#include <limits.h>\n#include <float.h>\n#include <math.h>\n#include "hostile.h"\n#include "hostile.h"\n'
        )
        assert subprocess.run([*command, "-c", tmp_path / "user.c", "-o", tmp_path / "y.o"]).returncode == 0


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back(value):
    text = number(value)
    assert np.float32(text.removesuffix("f")) == np.float32(value) and re.fullmatch(r"-?\d\S*[.e]\S*f", text)
    assert float(number(value, double=True)) == value
