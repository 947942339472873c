"""Students with int8 weights in C: products of integers, and the bytes of it on microcontrollers."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
from small_students import made, schema

from dfkd_tune.export.export import export
from dfkd_tune.export.formats.c.compiler import HARNESS, compile_source, loaded, zig
from dfkd_tune.export.formats.c.embedded import TARGETS, footprints
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.quantization import WeightQuantized

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


def small(options: dict | None = None) -> WeightQuantized:
    return WeightQuantized(made("mlp", **(options or {})), schema(), "int8")


@pytest.mark.parametrize(
    "options", [{}, {"depth": 3}, {"activation": "silu"}, {"activation": "relu", "depth": 2}], ids=str
)
@pytest.mark.parametrize("form", ["c", "numpy"])
def test_int8_answers_as_the_student_with_these_weights(options, form, tmp_path):
    worst, _ = export(small(options), schema(), form, tmp_path / {"c": "pump.c", "numpy": "pump.npz"}[form])
    assert worst is not None and worst < 1e-5
    if form == "numpy":
        assert np.load(tmp_path / "pump.npz")["weight_0"].dtype == np.int8


def test_sums_stay_within_32_bits():
    """The compiler traps a sum that does not, and a number that no integer holds."""
    network = small({"depth": 2})
    for layer in network.layers[::2]:
        layer.weight.fill_(127)
    answer = loaded(C().write(network, schema()).decode(), *STRICT)
    x = torch.tensor([1e30, -1e30, 1e4, 0.0])[:, None] * torch.ones(4, 13)
    found = answer(x)
    torch.testing.assert_close(found[2:], network(x)[2:], rtol=1e-4, atol=1e-4)
    assert bool(found[:2].isfinite().all())
    for bad in (torch.nan, torch.inf):
        x[0, 3] = bad
        assert bool(answer(x)[0].isnan().all()) and bool(answer(x)[1:].isfinite().all())


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
        source = C(libm=False).write(made(kind), schema()).decode()
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


@pytest.mark.parametrize("kind", ["float32", "int8", "gru"])
def test_a_student_answers_alike_on_arm(kind, tmp_path):
    """Compiled for ARM, and run by the emulator of Debian's package ``qemu-user``."""
    command, emulator = zig(), qemu()
    if command is None or emulator is None:
        assert not os.environ.get("CI"), "CI has both"
        pytest.skip("needs ziglang and qemu-user")
    network = {"float32": lambda: made("mlp"), "int8": small, "gru": lambda: made("gru")}[kind]()
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
