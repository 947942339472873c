"""A student in NumPy answers as its network does, where there is no PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from asked import fails
from small_students import CASES, LEVELS, PLAIN, made, rows_of, schema

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import export
from dfkd_tune.export.formats.kinds import EXPORTS, format_of
from dfkd_tune.export.quantization import WeightQuantized
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding


@pytest.mark.parametrize("kind, options", CASES)
def test_every_architecture_answers_alike(kind, options, tmp_path):
    worst, _ = export(made(kind, **options), schema(), "numpy", tmp_path / "pump.npz")
    assert worst is not None and worst < 1e-5


@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_int8_weights_are_stored_as_such(kind, tmp_path):
    network = WeightQuantized(made(kind), schema(), "int8")
    worst, _ = export(network, schema(), "numpy", tmp_path / "pump.npz")
    assert worst is not None and worst < 1e-5
    held = np.load(tmp_path / "pump.npz")
    weights = sum(weight.numel() for weight, step in network.stored.values() if step is not None)
    assert sum(held[name].size for name in held.files if held[name].dtype == np.int8) == weights


@pytest.mark.parametrize("shape", [[9, 11, 1], [2, 5, 2]])
def test_grids_of_odd_sizes(shape, tmp_path):
    width = int(np.prod(shape))
    encoding = Encoding([0.0] * width, [1.0] * width)
    worst, _ = export(
        made("conv2d", encoding, Columns(width, "grid", shape)), schema(encoding), "numpy", tmp_path / "x.npz"
    )
    assert worst is not None and worst < 1e-5


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("kind", ["mlp", "rbf"])
def test_levels_and_missing_values(kind, name):
    encoding, form = LEVELS[name], EXPORTS["numpy"]
    network, x = made(kind, encoding, Columns(encoding.width)), rows_of(encoding)
    units = InputSchema([f"x{i}" for i in range(x.shape[1])], encoding, x)
    answers = form.read(form.write(network, units), network)(x)
    torch.testing.assert_close(answers, network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_the_suffix_names_the_format():
    assert format_of(Path("pump.npz")) == format_of(Path("pump"), "numpy") == "numpy"
    with fails("would hold pt2 under the suffix of numpy", "name it pump.pt2", kind=ExportError):
        format_of(Path("pump.npz"), "pt2")
    with fails("would be overwritten by the .py file", "name it pump.npz", kind=ExportError):
        format_of(Path("pump.py"), "numpy")
    assert PLAIN.plain
