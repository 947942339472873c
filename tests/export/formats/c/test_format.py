"""A student in C answers as its network does, whatever its architecture, its inputs and its compiler."""

import math
import re

import numpy as np
import pytest
import torch
from asked import fails
from small_students import CASES, LEVELS, made, rows_of, schema
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import COMPARED_ROWS, export
from dfkd_tune.export.formats.c import compiler
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.formats.c.source import FIRST, WORST, activations, header_of
from dfkd_tune.export.formats.kinds import format_of
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-pedantic", "-Werror")


@pytest.mark.parametrize("libm", [True, False], ids=["libm", "alone"])
@pytest.mark.parametrize("kind, options", CASES)
def test_every_architecture_answers_alike_and_compiles_without_a_warning(kind, options, libm, tmp_path):
    network = made(kind, **options)
    worst, _ = export(network, schema(), "c", tmp_path / "pump.c", libm=libm)
    assert worst < 1e-5
    source = (tmp_path / "pump.c").read_text()
    again = compiler.loaded(source, *STRICT, *([] if libm else ["-nostdlib"]))
    x = schema().more_rows(COMPARED_ROWS)
    x[0, 3] = torch.nan  # no plausible number
    torch.testing.assert_close(again(x), network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert bool(again(x[:1]).isnan().all())
    assert (tmp_path / "pump.h").read_text() == header_of(source)
    assert not re.search(r"^static (?!const )\w+ \w+\[", source, re.MULTILINE)  # tables are constants


def test_grids_of_many_layers(tmp_path):
    columns = Columns(9 * 11, "grid", [9, 11, 1])
    encoding = Encoding([0.0] * 99, [1.0] * 99)
    worst, _ = export(made("conv2d", encoding, columns), schema(encoding), "c", tmp_path / "image.c")
    assert worst < 1e-5


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("kind", ["mlp", "rbf"])
def test_levels_and_missing_values_are_encoded_as_the_student_encodes_them(kind, name, tmp_path):
    encoding = LEVELS[name]
    network, x = made(kind, encoding, Columns(encoding.width)), rows_of(encoding)
    units = InputSchema([f"x{i}" for i in range(len(encoding.center))], encoding, x)
    x = torch.cat([x, torch.full_like(x[:2], torch.finfo(x.dtype).max) * torch.tensor([[1.0], [-1.0]])])
    x[-2:, [i for i in range(x.shape[1]) if i not in encoding.levels]] = 0.0  # only a level may be the largest number
    answers = C().read(C().write(network, units), network)(x)
    torch.testing.assert_close(answers, network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)
    export(network, units, "c", tmp_path / "levels.c")


EXACT = {
    "hyperbolic": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exponential": np.exp,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: 0.5 * x * np.array([math.erfc(-each / math.sqrt(2)) for each in x]),
}


@pytest.mark.parametrize("name", WORST)
def test_an_approximation_is_as_near_as_the_header_says(name, tmp_path):
    """``tanh`` and so on without libm, on floats of all sizes."""
    calls = [name, *FIRST.get(name, ()), *(each for other in FIRST.get(name, ()) for each in FIRST.get(other, ()))]
    text = activations(calls, libm=False)
    text += "\nenum { A_FEATURES = 1, A_OUTPUTS = 1 };\ntypedef float a_value;\n#ifndef A_H\n#endif\n"
    text += f"void a_predict(const float *x, float *y) {{ *y = {name}(*x); }}\n"
    small = np.geomspace(1e-8, 1.0, 20_000)
    x = np.concatenate([np.linspace(-30, 30, 60_001), small, -small, np.linspace(-200, 200, 4_001)]).astype(np.float32)
    if name == "exponential":
        x = x[x <= 0]  # of positive numbers it is not asked
    found = compiler.loaded(text)(torch.from_numpy(x)[:, None])[:, 0].double().numpy()
    exact = EXACT[name](x.astype(np.float64))
    error = np.abs(found - exact)
    stated = float(re.search(r"within (\S+)", WORST[name])[1])
    assert 0.3 * stated < error.max() <= stated


def test_a_student_of_unknown_layers_is_refused(tmp_path):
    for network in (nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(3, 1, bias=False))):
        with fails("--format c", "knows the layers of mlp, rbf, gru", "take --format pt2", kind=ExportError):
            export(network, schema(), "c", tmp_path / "x.c")
    broken = made("mlp")
    broken[0].weight.data[0, 0] = math.inf
    with fails("no finite number", kind=ExportError):
        export(broken, schema(), "c", tmp_path / "x.c")
    assert list(tmp_path.iterdir()) == []


def test_a_header_does_not_take_the_place_of_the_source(tmp_path):
    with fails("would be overwritten by the .h file", "name it pump.c", kind=ExportError):
        format_of(tmp_path / "pump.h", "c")
