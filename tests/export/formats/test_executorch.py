"""A student for ExecuTorch answers in ExecuTorch's own runtime as its network does."""

import gc

import pytest
import torch
from small_students import LEVELS, made, rows_of, schema

from dfkd_tune.export.export import export
from dfkd_tune.export.formats.executorch import MOST_ROWS, ExecuTorch
from dfkd_tune.export.quantization import WeightQuantized
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.columns import Columns


@pytest.mark.parametrize("kind, precision", [("rbf", "float32"), ("conv1d", "int8"), ("conv2d", "float32")])
def test_every_architecture_answers_alike(kind, precision, tmp_path):
    network = made(kind) if precision == "float32" else WeightQuantized(made(kind), schema(), precision)
    worst, _ = export(network, schema(), "executorch", tmp_path / "pump.pte")
    assert worst is not None and worst < 1e-5


def test_a_recurrent_student_takes_one_row_at_a_time():
    network, form, x = made("gru"), ExecuTorch(), schema().more_rows(9)
    answer = form.read(form.write(network, schema()), network)
    torch.testing.assert_close(answer(x), network(x).detach(), rtol=1e-5, atol=1e-5)


def test_levels_missing_values_and_more_rows_than_a_call_takes():
    encoding = LEVELS["far"]
    network, x = made("mlp", encoding, Columns(encoding.width)), rows_of(encoding).repeat(3, 1)
    assert len(x) > MOST_ROWS
    form, units = ExecuTorch(), InputSchema(["température", "b", "*/"], encoding, x)
    data = form.write(network, units)
    torch.testing.assert_close(form.read(data, network)(x), network(x).detach(), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert form.feature_names(data) == units.names


def test_a_program_stays_as_long_as_what_answers_by_it():
    network, form = made("mlp"), ExecuTorch()
    data = [form.write(made("mlp", activation=each), schema()) for each in ("tanh", "relu")]
    answers = [form.read(bytes(bytearray(each)), network) for each in data]
    gc.collect()
    garbage = [bytearray(len(data[0])) for _ in range(100)]
    x = schema().rows
    assert not torch.equal(answers[0](x), answers[1](x)) and garbage
    torch.testing.assert_close(answers[0](x), network(x).detach(), rtol=1e-5, atol=1e-5)
