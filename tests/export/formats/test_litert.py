"""A student for LiteRT answers in LiteRT's own interpreter as its network does; without the extra, that is told at once.

The extra needs an older ``typing-extensions`` than Jupyter. ``make test-litert``, which CI runs, has an environment of its own for it;
elsewhere this file is skipped but for its first test.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from asked import fails
from small_students import LEVELS, made, rows_of, schema

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import export
from dfkd_tune.export.formats import base
from dfkd_tune.export.formats.kinds import format_of
from dfkd_tune.export.formats.litert import LiteRT
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.testing.formats import EXPORT_LAWS

installed = pytest.mark.skipif(
    find_spec("litert_torch") is None, reason="the extra litert has an environment of its own"
)


def test_without_the_extra_that_is_told_before_any_work(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda package: None)
    with fails("--format", "needs the package litert_torch", "dfkd-tune[litert]", kind=ExportError):
        format_of(Path("student.tflite"))


@installed
@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_every_architecture_answers_alike(kind, tmp_path):
    worst, _ = export(made(kind), schema(), "litert", tmp_path / "pump.tflite")
    assert worst is not None and worst < 1e-5


@installed
@pytest.mark.parametrize("law", EXPORT_LAWS, ids=lambda law: law.__name__)
def test_the_format_keeps_the_laws_of_all(law):
    law("litert")


@installed
@pytest.mark.parametrize("name", ["words", "gaps"])
def test_levels_missing_values_and_names(name):
    encoding = LEVELS[name]
    network, x = made("mlp", encoding, Columns(encoding.width)), rows_of(encoding).float()[:50]
    form, units = LiteRT(), InputSchema(["température", "b", "*/"], encoding, x)
    data = form.write(network, units)
    torch.testing.assert_close(form.read(data, network)(x), network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert form.feature_names(data) == units.names


@installed
def test_inputs_that_need_float64_are_refused():
    encoding = LEVELS["far"]
    network = made("mlp", encoding, Columns(encoding.width))
    with fails("--format litert", "takes float32 alone", "--format pt2", kind=ExportError):
        LiteRT().write(network, InputSchema(["a", "b", "c"], encoding, rows_of(encoding)))
