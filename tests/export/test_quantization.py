"""Quantized weights are rounded by half a step at most, whatever the units of the inputs."""

import pytest
import torch
from asked import fails
from exported import NAMES, STD, UNITS, chain
from small_students import made, schema
from torch import nn

from dfkd_tune.errors import ExportError
from dfkd_tune.export.export import export
from dfkd_tune.export.quantization import WeightQuantized, quantize
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.training.raw_evaluation import ExportedStudent, Measured, OutputRMSE

pytestmark = pytest.mark.usefixtures("undrawn")


def units(center: list[float], scale: list[float]) -> InputSchema:
    return InputSchema(NAMES, Encoding(center, scale), torch.tensor([center]))


def test_bfloat16_rounds_by_half_a_step_at_most():
    student = chain()
    exact, kept = student[0].weight.detach() * STD, WeightQuantized(student, UNITS, "bf16").stored["1.weight"][0]
    assert kept.dtype == torch.bfloat16
    assert bool(((kept.float() - exact).abs() <= 0.51 * exact.abs() / 128).all()) and not torch.equal(
        kept.float(), exact
    )


def test_int8_has_a_scale_for_each_unit():
    weight, step = WeightQuantized(chain(), UNITS, "int8").stored["1.weight"]
    assert weight.dtype == torch.int8 and step is not None and step.shape == (len(weight), 1)


@pytest.mark.parametrize("precision, most", [("int8", 0.01), ("bf16", 0.01)])
@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_every_architecture_answers_nearly_alike(kind, precision, most):
    student, units = made(kind), schema()
    small, x = WeightQuantized(student, units, precision), units.more_rows(2_000, 0.3)
    with torch.no_grad():
        wanted = student(x)
        error = ((small(x) - wanted) / wanted.std(0)).square().mean().sqrt()
    assert 0 < float(error) < most
    kinds = {weight.dtype for weight, _ in small.stored.values()}
    assert kinds == {torch.float32, torch.int8 if precision == "int8" else torch.bfloat16}
    assert [*small.stored] == [name for name in small.stored if "parametrizations" not in name]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("form", ["pt2", "onnx"])
@pytest.mark.parametrize("kind", ["mlp", "rbf", "gru", "conv1d", "conv2d"])
def test_every_architecture_is_written_as_a_graph(kind, form, precision, tmp_path):
    small = WeightQuantized(made(kind), schema(), precision)
    worst, _ = export(small, schema(), form, tmp_path / f"pump.{form}")
    assert worst is not None and worst < 1e-5


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_inputs_far_from_zero_are_as_good_as_standardized_ones(precision):
    """The same student over standardized and over raw units, a million deviations from zero."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    center, scale = [1e6, -2e6, 3e6], [1.0, 2.0, 0.5]
    far = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), plain[2]).double()
    with torch.no_grad():
        far[0].weight.copy_(plain[0].weight / torch.tensor(scale))
        far[0].bias.copy_(plain[0].bias - far[0].weight @ torch.tensor(center).double())
    near = WeightQuantized(plain, units([0.0] * 3, [1.0] * 3), precision)
    z = torch.randint(-4, 5, (50, 3)).float()  # so that raw values are exact
    with torch.no_grad():
        moved = WeightQuantized(far, units(center, scale), precision)(torch.tensor(center) + z * torch.tensor(scale))
        torch.testing.assert_close(moved, near(z), rtol=0.02, atol=1e-3)


def near(rmse: float) -> Measured:
    return Measured(10, {"y": OutputRMSE(rmse, rmse)}, rmse, rmse)


def test_a_loss_beyond_what_is_allowed_is_refused():
    student, told = chain(), []

    def evaluator(exported: ExportedStudent) -> Measured:
        told.append(exported)
        return near({1: 0.5, 0: 0.53}[len(told) % 2])

    small, before, after = quantize(evaluator, student, UNITS, "int8", 0.07)
    assert isinstance(small, WeightQuantized) and (before.rmse, after.rmse) == (0.5, 0.53)
    assert [each.parameters for each in told] == [41, 41]  # of the student, not of its rounded copy
    words = ["RMSE to the teacher grows from", "by more than 5 %", "--within"]
    with fails("--precision int8", *words, kind=ExportError):
        quantize(evaluator, student, UNITS, "int8", 0.05)
    for other in (nn.Sequential(nn.Tanh()), nn.Bilinear(3, 3, 1)):
        with fails("--precision bf16", "mlp, rbf, gru, conv1d and conv2d; leave it out", kind=ExportError):
            quantize(evaluator, other, UNITS, "bf16", 1.0)
