"""Students with int8 weights in C: products of integers, and the bytes of it on microcontrollers."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from small_students import CASES, LEVELS, made, rows_of, schema

from dfkd_tune.export.export import COMPARED_ROWS, export
from dfkd_tune.export.formats.c.compiler import HARNESS, compile_source, loaded, zig
from dfkd_tune.export.formats.c.embedded import TARGETS, footprints
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.quantization import WeightQuantized
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding

STRICT = (
    "-std=c99",
    "-O2",
    "-Wall",
    "-Wextra",
    "-pedantic",
    "-Werror",
    "-fsanitize=signed-integer-overflow,float-cast-overflow",
    "-fsanitize-undefined-trap-on-error",
)


KINDS = ("mlp", "rbf", "gru", "conv1d", "conv2d")
GRID = Encoding([0.0] * 99, [1.0] * 99)


def small(kind: str = "mlp", **options) -> WeightQuantized:
    return WeightQuantized(made(kind, **options), schema(), "int8")


@pytest.mark.parametrize("libm", [True, False], ids=["libm", "alone"])
@pytest.mark.parametrize("kind, options", CASES)
def test_int8_answers_as_the_student_with_these_weights(kind, options, libm, tmp_path):
    network = small(kind, **options)
    worst, _ = export(network, schema(), "c", tmp_path / "pump.c", libm=libm)
    assert worst is not None and worst < 1e-5
    source = (tmp_path / "pump.c").read_text()
    weights = sum(weight.numel() for weight, step in network.stored.values() if step is not None)
    held = re.findall(r"^static const int8_t \w+\[(\d+)\]", source, re.MULTILINE)
    assert sum(map(int, held)) == weights  # all weights are integers
    again = loaded(source, *STRICT)
    x = schema().more_rows(COMPARED_ROWS)
    x[0, 3] = torch.nan
    torch.testing.assert_close(again(x), network(x), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert bool(again(x[:1]).isnan().all())


def test_int8_of_grids_of_many_layers(tmp_path):
    network = made("conv2d", GRID, Columns(9 * 11, "grid", [9, 11, 1]))
    units = schema(GRID)
    worst, _ = export(WeightQuantized(network, units, "int8"), units, "c", tmp_path / "image.c")
    assert worst is not None and worst < 1e-5


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("kind", ["mlp", "rbf"])
def test_int8_takes_levels_and_missing_values(kind, name, tmp_path):
    encoding = LEVELS[name]
    x = rows_of(encoding)
    units = InputSchema([f"x{i}" for i in range(len(encoding.center))], encoding, x)
    network = WeightQuantized(made(kind, encoding, Columns(encoding.width)), units, "int8")
    answers = C().read(C().write(network, units), network)(x)
    torch.testing.assert_close(answers, network(x), rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    "kind, options",
    [("mlp", {"depth": 2}), ("mlp", {"depth": 2, "activation": "relu"}), *((kind, {}) for kind in KINDS[1:])],
)
def test_sums_stay_within_32_bits(kind, options):
    """The compiler traps a sum that does not, and a number that no integer holds."""
    network = small(kind, **options)
    for weight, step in network.stored.values():
        if step is not None:
            weight.fill_(127)
    answer = loaded(C().write(network, schema()).decode(), *STRICT)
    x = torch.tensor([1e30, -1e30, 1e4, 0.0])[:, None] * torch.ones(4, 13)
    with torch.no_grad():
        found, wanted = answer(x), network(x)
    torch.testing.assert_close(found[3:], wanted[3:], rtol=1e-4, atol=1e-4)
    if kind == "mlp":
        torch.testing.assert_close(found[2], wanted[2], rtol=1e-4, atol=1e-4)
    for bad in (torch.nan, torch.inf):
        x[0] = x[3]
        x[0, 12] = bad
        assert bool(answer(x)[0].isnan().all()) and bool(answer(x)[2:].isfinite().all())


def test_int8_takes_less_flash_and_nothing_is_kept_in_ram():
    pytest.importorskip("ziglang")
    found = footprints(C().write(made("mlp"), schema()).decode())
    less = footprints(C().write(small(), schema()).decode())
    assert set(found) == set(less) == set(TARGETS)
    weights = 4 * sum(p.numel() for p in made("mlp").parameters())
    for name in TARGETS:
        assert weights < found[name].flash < weights + 700
        assert 0 < found[name].ram < 200 and less[name].ram < 400
    # Every function of a student and all its tables lie in sections that are not written to.
    for kind in ("rbf", "gru", "conv1d", "conv2d"):
        for network in (made(kind), small(kind)):
            source = C(libm=False).write(network, schema()).decode()
            assert footprints(source)["Cortex-M4"].ram < 2_000


def qemu() -> str | None:
    return shutil.which("qemu-arm") or shutil.which("qemu-arm-static")


MAIN = """
#include <stdio.h>

int main(void)
{{
    static {prefix}_value rows[64 * {upper}_FEATURES];
    static float outputs[64 * {upper}_OUTPUTS];
    fread(rows, sizeof rows, 1, stdin);
    dfkd_rows(rows, 64, 1, outputs);
    fwrite(outputs, sizeof outputs, 1, stdout);
    return 0;
}}
"""


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_student_answers_alike_on_arm(kind, precision, tmp_path):
    """Compiled for ARM, and run by the emulator of Debian's package ``qemu-user``."""
    command, emulator = zig(), qemu()
    if command is None or emulator is None:
        assert not os.environ.get("CI"), "CI has both"
        pytest.skip("needs ziglang and qemu-user")
    network = made(kind) if precision == "float32" else small(kind)
    source = C().write(network, schema()).decode()
    about = {"prefix": "student", "upper": "STUDENT"}
    (tmp_path / "student.c").write_text(source + HARNESS.format(**about) + MAIN.format(**about))
    target = ("-target", "arm-linux-musleabihf", "-std=c99", "-O2", "-static")
    compile_source(command, tmp_path / "student.c", tmp_path / "student", *target)
    x = schema().rows
    ran = subprocess.run([emulator, tmp_path / "student"], input=x.numpy().tobytes(), capture_output=True, check=True)
    found = torch.from_numpy(np.frombuffer(ran.stdout, np.float32).reshape(64, 2).copy())
    with torch.no_grad():
        torch.testing.assert_close(found, network(x), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("home", ["/dev/null/none", None])
def test_bytes_are_measured_without_a_home_that_can_be_written(home, monkeypatch):
    pytest.importorskip("ziglang")
    pytest.importorskip("elftools")
    for name in ("XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    assert footprints("int twice(int x) { return 2 * x; }\n")["Cortex-M4"].flash > 0
